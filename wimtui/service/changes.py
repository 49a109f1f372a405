"""What is staged, of mounts that live and of those that left it behind."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wimtui.control.client import DaemonClient
from wimtui.control.errors import ControlError, NotAMountError
from wimtui.control.protocol import Status, StatusReply
from wimtui.engine.staging.changes import list_changes
from wimtui.engine.staging.reports import change_report
from wimtui.engine.staging.store import staged_nbytes
from wimtui.service.change_sources import (
    LIST_S,
    LiveSource,
    PathComparison,
    SideFacts,
    StreamComparison,
    detached_revision,
    open_source,
)
from wimtui.service.stagings import find_staged, opened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wimtui.service.stagings import StagedMount

__all__ = [
    "ChangeList", "MountReport", "PathComparison", "SideFacts", "StagedChange", "StreamComparison",
    "changes_since", "comparison_of", "diff_of", "image_path", "report_of", "restore_at",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StagedChange:
    """One name that differs from the image; sizes in bytes, None where there is none."""

    kind: str
    """``added``, ``modified``, ``deleted`` or ``renamed``."""
    path: str
    old_path: str | None
    what: tuple[str, ...]
    """Of what was there before: data, attributes, times, streams, names."""
    size_before: int | None
    size_after: int | None
    is_directory: bool

    @classmethod
    def from_json(cls, line: bytes) -> StagedChange:
        """Read a report as JSON."""
        return cls.from_report(json.loads(line))

    @classmethod
    def from_report(cls, report: dict[str, Any]) -> StagedChange:
        """Read what the engine's ``change_report`` made."""
        return cls(**{**report, "what": tuple(report["what"])})


@dataclass(frozen=True, slots=True)
class MountReport:
    """How a mount stands, and what is staged."""

    mount_point: str
    wim_path: str
    image_index: int
    image_name: str
    mode: str
    state: str
    """As `wimtui mounts` says."""
    uptime_s: float | None
    """None without a daemon."""
    open_handles: int
    staging_path: str
    staged_nbytes: int
    changes: tuple[StagedChange, ...]
    detail: str = ""
    """Why the state is what it is, where that does not say it."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ChangeList:
    """What is staged at one moment."""

    revision: str
    is_alive: bool
    """Whether it is mounted."""
    staged_nbytes: int
    """What the staging folder takes on the disk."""
    by_json: Mapping[bytes, StagedChange]
    """All changes, by what the daemon says of each."""

    def since(self, before: ChangeList) -> tuple[list[StagedChange], list[StagedChange]]:
        """Return the changes that another list had and this has not, and the other way round."""
        removed = [one for line, one in before.by_json.items() if line not in self.by_json]
        added = [one for line, one in self.by_json.items() if line not in before.by_json]
        return removed, added


def changes_since(target: str, known: ChangeList | None = None) -> ChangeList | None:
    """Return what is staged, or None if nothing has changed since a list was made.

    Args:
        target: Mount point, mount id or staging folder.
        known: That list: where most is as before, the most of the work is saved.

    Raises:
        NotAMountError: Nothing is mounted or staged there.
        UsageError: The mount is read-only.
        ControlError: The daemon does not answer.
        WimError: WIM or staging folder cannot be read.
    """
    staged = find_staged(target)
    revision = "" if known is None else known.revision
    if not staged.is_alive and staged.staging and revision == detached_revision(staged.staging):
        return None
    with open_source(staged) as source:
        found, listed = source.changes(revision)
    if listed is None:
        return None
    old = {} if known is None else known.by_json
    return ChangeList(
        revision=found if staged.is_alive else detached_revision(staged.staging),
        is_alive=staged.is_alive,
        staged_nbytes=staged_nbytes(Path(staged.staging)),
        by_json={line: old.get(line) or StagedChange.from_json(line) for line in listed},
    )


def report_of(target: str) -> MountReport:
    """Return the state of a mount with all its changes.

    Args:
        target: Mount point, mount id or staging folder.

    Raises:
        NotAMountError: Nothing is mounted or staged there.
        ControlError: The daemon does not answer.
        WimError: WIM or staging folder cannot be read.
    """
    staged = find_staged(target)
    return _live_report(staged) if staged.is_alive else _detached_report(staged)


def _live_report(staged: StagedMount) -> MountReport:
    assert staged.record is not None
    with DaemonClient(staged.record) as client:
        status = client.request(Status(), LIST_S)
        if not isinstance(status, StatusReply):
            raise ControlError(f"the daemon answered {status.TYPE!r} to a request for its status")
        changes: tuple[StagedChange, ...] = ()
        if status.mode == "rw":
            _, listed = LiveSource(client).changes()
            changes = tuple(map(StagedChange.from_json, listed or ()))
    started_ns = status.data.get("started_at_ns")
    # Before it answered the daemon has looked at the WIM, and written down how that stands.
    record = find_staged(staged.record.entry.mount_id).record or staged.record
    entry = record.entry
    return MountReport(
        mount_point=entry.mount_point,
        wim_path=entry.wim_path,
        image_index=status.image_index,
        image_name=status.image_name,
        mode=status.mode,
        state=record.status.value,
        uptime_s=time.time() - started_ns / 1e9 if isinstance(started_ns, int) else None,
        open_handles=status.open_handles,
        staging_path=entry.staging_path,
        staged_nbytes=status.staged_nbytes,
        changes=changes,
        detail=record.detail,
    )


def _detached_report(staged: StagedMount) -> MountReport:
    record = staged.record
    if not staged.staging:
        raise NotAMountError(
            record.detail if record is not None and record.detail else "its daemon is gone",
            path=staged.mount_point,
            hint="wimtui remount mounts it again",
        )
    with opened(staged) as (_, overlay):
        facts = overlay.store.facts
        changes = [change_report(change) for change in list_changes(overlay)]
        staged_nbytes = overlay.store.staged_nbytes()
    return MountReport(
        mount_point=staged.mount_point,
        wim_path=facts.identity.path,
        image_index=facts.image,
        image_name="" if staged.note is None else staged.note.image_name,
        mode="rw",
        state="detached" if record is None else record.status.value,
        uptime_s=None,
        open_handles=0,
        staging_path=staged.staging,
        staged_nbytes=staged_nbytes,
        changes=tuple(map(StagedChange.from_report, changes)),
    )


def diff_of(target: str, path: str | None = None) -> bytes:
    """Return the staged changes as a unified diff, in UTF-8.

    Args:
        target: Mount point, mount id, staging folder, or a path below a mount point.
        path: Only what is there or below: from the root of the image, or below the mount point.

    Raises:
        NodeNotFoundError: Neither the mount nor the image has that path.
        NotAMountError: Nothing is mounted or staged there.
    """
    staged = find_staged(target)
    wanted = "/" if path is None else image_path(staged, path)
    with open_source(staged) as source:
        return source.diff(wanted)


def comparison_of(target: str, path: str) -> PathComparison:
    """Return one path before and after, with the bytes around its differences.

    Args:
        target: Mount point, mount id or staging folder.
        path: From the root of the image.

    Raises:
        NodeNotFoundError: Neither the mount nor the image has that path.
        NotAMountError: Nothing is mounted or staged there.
    """
    with open_source(find_staged(target)) as source:
        return source.compare(path)


def restore_at(target: str, paths: list[str]) -> int:
    """Undo the staged changes of paths; return how many names and inodes that concerned.

    Raises:
        NodeNotFoundError: Neither the mount nor the image has a path.
        NotPermittedError: A file is open for writing.
        NotAMountError: Nothing is mounted or staged there.
    """
    staged = find_staged(target)
    with open_source(staged) as source:
        return sum(source.restore(image_path(staged, path)) for path in paths)


def image_path(staged: StagedMount, path: str) -> str:
    """Return a path as the image has it, from one there or below the mount point.

    What begins with the mount point is meant there; everything else is from the image's root.
    """
    point = staged.mount_point.rstrip("/")
    absolute = os.path.normpath(Path.cwd() / path)
    if point and (absolute == point or absolute.startswith(point + "/")):
        return absolute[len(point) :] or "/"
    return os.path.normpath("/" + path.lstrip("/"))
