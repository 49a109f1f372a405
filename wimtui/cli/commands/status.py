"""`wimtui status`: how a mount stands, and what has changed in it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import humanize

from wimtui.cli import output
from wimtui.cli.diagnostics import shown
from wimtui.service import changes

if TYPE_CHECKING:
    from argparse import Namespace

    from wimtui.service.changes import MountReport, StagedChange

_LABEL_WIDTH = 17
_KIND_WIDTH = 9


def run(arguments: Namespace) -> int:
    """Print facts and changes, one change a line."""
    report = changes.report_of(arguments.target)
    if arguments.json:
        output.as_json(report.as_json())
        return 0
    output.facts(_facts(report), _LABEL_WIDTH)
    if report.changes:
        output.line()
    for change in report.changes:
        output.line(f"{change.kind:<{_KIND_WIDTH}} {_described(change)}")
    return 0


def _facts(report: MountReport) -> list[tuple[str, object]]:
    name = f" ({shown(report.image_name)})" if report.image_name else ""
    state = report.state
    if report.uptime_s is not None:
        state += f", for {humanize.precisedelta(timedelta(seconds=int(report.uptime_s)))}"
    facts: list[tuple[str, object]] = [
        ("Mount point", shown(report.mount_point)),
        ("WIM", shown(report.wim_path)),
        ("Image", f"{report.image_index}{name}"),
        ("Mode", "read-write" if report.mode == "rw" else "read-only"),
        ("State", state),
    ]
    if report.detail:
        facts.append(("Note", report.detail))
    facts.append(("Open files", report.open_handles))
    if report.mode == "rw":
        facts += [
            ("Staging folder", shown(report.staging_path)),
            ("Staged data", humanize.naturalsize(report.staged_nbytes, binary=True)),
            ("Changes", f"{len(report.changes):,}"),
        ]
    return facts


def _described(change: StagedChange) -> str:
    path = shown(change.path) + ("/" if change.is_directory else "")
    text = path if change.old_path is None else f"{shown(change.old_path)} -> {path}"
    what = [part for part in change.what if part != "names"]
    if what:
        text += f" ({', '.join(what)})"
    return text + _sizes(change)


def _sizes(change: StagedChange) -> str:
    before, after = change.size_before, change.size_after
    if before is not None and after is not None and before != after:
        return f"  {before:,} -> {after:,} bytes"
    size = after if after is not None else before
    return "" if size is None else f"  {size:,} bytes"
