"""What is staged, of mounts that live and of those that left it behind."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wimtui.control.client import DaemonClient
from wimtui.control.errors import ControlError, NotAMountError
from wimtui.control.protocol import Extension, Status, StatusReply
from wimtui.engine.errors import UsageError
from wimtui.engine.staging.changes import list_changes
from wimtui.engine.staging.diff import diff_changes
from wimtui.engine.staging.reports import change_report
from wimtui.engine.staging.restore import restore
from wimtui.service.stagings import find_staged, opened

if TYPE_CHECKING:
    from wimtui.control.protocol import OkReply
    from wimtui.service.stagings import StagedMount

LIST_S: Final = 600.0
"""Seconds a daemon has to list or compare changes: it may have to decode them all."""


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

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


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
            listed = client.read_bulk(client.request(Extension("changes"), LIST_S))
            changes = tuple(map(StagedChange.from_report, json.loads(listed)))
    started_ns = status.data.get("started_at_ns")
    entry = staged.record.entry
    return MountReport(
        mount_point=entry.mount_point,
        wim_path=entry.wim_path,
        image_index=status.image_index,
        image_name=status.image_name,
        mode=status.mode,
        state=staged.record.status.value,
        uptime_s=time.time() - started_ns / 1e9 if isinstance(started_ns, int) else None,
        open_handles=status.open_handles,
        staging_path=entry.staging_path,
        staged_nbytes=status.staged_nbytes,
        changes=changes,
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
    if not staged.is_alive:
        with opened(_with_changes(staged)) as (_, overlay):
            return b"".join(diff_changes(overlay, os.fsencode(wanted)))
    reply, bulk = _ask(staged, Extension("diff", {"path": wanted}))
    del reply
    return bulk


def restore_at(target: str, paths: list[str]) -> int:
    """Undo the staged changes of paths; return how many names and inodes that concerned.

    Raises:
        NodeNotFoundError: Neither the mount nor the image has a path.
        NotPermittedError: A file is open for writing.
        NotAMountError: Nothing is mounted or staged there.
    """
    staged = find_staged(target)
    wanted = [image_path(staged, path) for path in paths]
    count = 0
    if not staged.is_alive:
        with opened(_with_changes(staged)) as (_, overlay):
            for path in wanted:
                restored = restore(overlay, os.fsencode(path))
                count += len(restored.entries) + len(restored.inodes)
        return count
    for path in wanted:
        reply, _ = _ask(staged, Extension("restore", {"path": path}))
        numbers = (reply.data.get(name) for name in ("names", "inodes"))
        count += sum(number for number in numbers if isinstance(number, int))
    return count


def image_path(staged: StagedMount, path: str) -> str:
    """Return a path as the image has it, from one there or below the mount point.

    What begins with the mount point is meant there; everything else is from the image's root.
    """
    point = staged.mount_point.rstrip("/")
    absolute = os.path.normpath(Path.cwd() / path)
    if point and (absolute == point or absolute.startswith(point + "/")):
        return absolute[len(point) :] or "/"
    return os.path.normpath("/" + path.lstrip("/"))


def _with_changes(staged: StagedMount) -> StagedMount:
    if not staged.staging:
        raise UsageError("the mount is read-only: nothing is staged", path=staged.mount_point)
    return staged


def _ask(staged: StagedMount, request: Extension) -> tuple[OkReply, bytes]:
    assert staged.record is not None
    if staged.record.entry.mode != "rw":
        raise UsageError("the mount is read-only: nothing is staged", path=staged.mount_point)
    with DaemonClient(staged.record) as client:
        reply = client.request(request, LIST_S)
        return reply, client.read_bulk(reply)  # type: ignore[return-value]
