"""What front ends do with mounts: make, list, ask and end them."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wimtui.control import registry
from wimtui.control.client import DaemonClient
from wimtui.control.errors import ControlError, NotAMountError
from wimtui.control.handshake import StartProgress
from wimtui.control.mount_request import MountRequest
from wimtui.control.protocol import Disposition, Status, StatusReply, Unmount
from wimtui.control.registry import MountRecord, MountStatus
from wimtui.control.registry_entry import new_mount_id
from wimtui.control.spawn import become_daemon, spawn_daemon
from wimtui.control.unmount import unmount

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = [
    "MountActivity", "MountRequest", "MountStatus", "MountSummary", "StartProgress",
    "activity_of", "find_mount", "list_mounts", "mount", "mount_in_foreground", "new_request",
    "unmount_at",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MountSummary:
    """One mount of this machine, as lists show it."""

    mount_id: str
    wim_path: str
    image_index: int
    image_name: str
    mount_point: str
    mode: str
    """``ro`` or ``rw``."""
    status: MountStatus
    detail: str
    alive: bool
    pid: int
    uid: int
    created: float
    """Seconds since 1970."""
    staging_path: str

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MountActivity:
    """What a living daemon says of itself."""

    state: str
    open_handles: int
    changes: int
    staged_nbytes: int
    started_at_ns: int
    reads: int
    bytes_read: int
    cache_hits: int
    cache_misses: int
    cache_nbytes: int


def list_mounts(*, sweep: bool = True) -> list[MountSummary]:
    """Return every mount, all users' for root; what is stale and needs no decision is swept."""
    if sweep:
        registry.sweep()
    return [_summary(record) for record in _records() if record.status is not MountStatus.ENDED]


def find_mount(target: str) -> MountSummary:
    """Return the mount at a path or of a mount id. Raises NotAMountError."""
    return _summary(_record(target))


def _records() -> tuple[MountRecord, ...]:
    return registry.list_mounts(all_users=os.geteuid() == 0)


def _record(target: str) -> MountRecord:
    record = registry.find_mount(target, _records())
    if record is None or record.status is MountStatus.ENDED:
        raise NotAMountError(
            "no WIM image is mounted there", path=target, hint="wimtui mounts lists what is"
        )
    return record


def _summary(record: MountRecord) -> MountSummary:
    entry = record.entry
    return MountSummary(
        mount_id=entry.mount_id,
        wim_path=entry.wim_path,
        image_index=entry.image_index,
        image_name=entry.image_name,
        mount_point=entry.mount_point,
        mode=entry.mode,
        status=record.status,
        detail=record.detail,
        alive=record.alive,
        pid=entry.pid,
        uid=entry.uid,
        created=entry.created,
        staging_path=entry.staging_path,
    )


def new_request(wim: str, mount_point: str, **options: Any) -> MountRequest:
    """Return a request with absolute paths, the caller as owner, and a mount id of its own.

    Args:
        wim: Path of the WIM, relative to the current folder.
        mount_point: Path of the folder to mount on.
        **options: Further fields of MountRequest; None leaves a default.
    """
    request = MountRequest(
        mount_id=new_mount_id(),
        wim_path=str(Path(wim).absolute()),
        mount_point=registry.resolved_mount_point(mount_point),
        uid=os.getuid(),
        gid=os.getgid(),
    )
    given = {name: value for name, value in options.items() if value is not None}
    if log_file := given.get("log_file"):
        given["log_file"] = str(Path(log_file).absolute())
    if references := given.get("references"):
        given["references"] = tuple(str(Path(pattern).absolute()) for pattern in references)
    return replace(request, **given)


def mount(
    request: MountRequest, on_progress: Callable[[StartProgress], None] | None = None
) -> MountSummary:
    """Start a daemon and return when its file system answers.

    Raises:
        RemoteError: The daemon says why it cannot; the code is the cause's.
        DaemonStartError: It could not start, or ended without a word.
    """
    started = spawn_daemon(request.to_options(), on_progress=on_progress)
    return find_mount(started.mount_id)


def mount_in_foreground(request: MountRequest) -> NoReturn:
    """Become the daemon. Raises DaemonStartError."""
    become_daemon(request.to_options())


def activity_of(target: str) -> MountActivity:
    """Ask the daemon of a mount how it is doing.

    Raises:
        NotAMountError: Nothing is mounted there.
        DaemonGoneError: The daemon is gone.
        ControlTimeoutError: It does not answer.
    """
    with DaemonClient(_record(target)) as client:
        reply = client.request(Status())
    if not isinstance(reply, StatusReply):
        raise ControlError(f"the daemon answered {reply.TYPE!r} to a request for its status")

    def number(name: str) -> int:
        value = reply.data.get(name, 0)
        return value if isinstance(value, int) else 0

    return MountActivity(
        state=reply.state.value,
        open_handles=reply.open_handles,
        changes=reply.changes,
        staged_nbytes=reply.staged_nbytes,
        started_at_ns=number("started_at_ns"),
        reads=number("reads"),
        bytes_read=number("bytes_read"),
        cache_hits=number("cache_hits"),
        cache_misses=number("cache_misses"),
        cache_nbytes=number("cache_nbytes"),
    )


def unmount_at(target: str, *, lazy: bool = False) -> MountSummary:
    """End a mount; returns what it was when the mount point is free and its daemon gone.

    Raises:
        NotAMountError: Nothing is mounted there.
        RemoteError: The daemon refuses; code 79 names who holds files open.
        ControlError: It cannot be ended otherwise.
    """
    record = _record(target)
    unmount(record, Unmount(disposition=Disposition.DISCARD, lazy=lazy))
    return _summary(record)
