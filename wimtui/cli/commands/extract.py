"""`wimtui extract`: files and folders of an image that need not be mounted."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import humanize

from wimtui.cli import diagnostics, output, writing
from wimtui.engine.errors import NodeNotFoundError
from wimtui.service.browse import ImageSession
from wimtui.service.extract import extract

if TYPE_CHECKING:
    from argparse import Namespace

    from wimtui.service.extract import ExtractResult


def run(arguments: Namespace) -> int:
    """Write each under its own name into the folder; Ctrl-C leaves nothing of the one begun."""
    results = []
    references = tuple(arguments.ref)
    with (
        ImageSession.open(arguments.wim, arguments.image, references) as session,
        writing.stoppable(as_json=arguments.json) as (show, cancel),
    ):
        found = [_dentry(session, arguments.wim, path) for path in arguments.paths or ["/"]]
        for dentry in found:
            result = extract(session, dentry, arguments.dest_dir, show, cancel)
            results.append(result)
            _warn(result)
    if arguments.json:
        writing.result({"extracted": [asdict(result) for result in results]})
        return diagnostics.ExitCode.SUCCESS
    for result in results:
        size = humanize.naturalsize(result.nbytes, binary=True)
        output.line(
            f"{diagnostics.shown(result.path)}: {result.file_count:,} files, "
            f"{result.directory_count:,} folders, {size}"
        )
    return diagnostics.ExitCode.SUCCESS


def _dentry(session: ImageSession, wim: str, path: str) -> int:
    dentry = session.dentry_at(path)
    if dentry is None:
        raise NodeNotFoundError(
            "no such file in the image",
            path=wim,
            structure=path,
            hint="wimtui dir lists what there is",
        )
    return dentry


def _warn(result: ExtractResult) -> None:
    for reason in result.skipped:
        diagnostics.say(f"warning: {diagnostics.shown(reason)}")
    if result.skipped_count > len(result.skipped):
        diagnostics.say(f"warning: {result.skipped_count - len(result.skipped):,} more")
