"""What front ends do with mounts: make, list, ask and end them."""

from __future__ import annotations

import contextlib
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
from wimtui.control.stagings import StagingNote
from wimtui.control.unmount import clear_dead, is_disconnected, unmount
from wimtui.service import stagings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

    from wimtui.control.protocol import Event

__all__ = [
    "Disposition", "MountActivity", "MountRequest", "MountStatus", "MountSummary", "StartProgress",
    "activity_of", "find_mount", "list_mounts", "mount", "mount_in_foreground", "new_request",
    "remount", "take_back", "unmount_at",
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
    """Empty for read-only mounts."""
    changes: int | None = None
    """What is staged of a mount that ended; None for living ones, and where nobody counted."""
    staged_nbytes: int | None = None
    references: tuple[str, ...] = ()
    """Globs of further files that the image needs."""

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
    """Return every mount, all users' for root, and every staging folder without one.

    What is stale and needs no decision is swept.
    """
    if sweep:
        registry.sweep()
    records = _records()
    found = [_summary(record) for record in records if record.status is not MountStatus.ENDED]
    return found + [_loose_summary(staged) for staged in stagings.loose_stagings(records)]


def find_mount(target: str) -> MountSummary:
    """Return the mount at a path or of a mount id. Raises NotAMountError."""
    return _summary(_record(target))


def _records() -> tuple[MountRecord, ...]:
    return registry.list_mounts(all_users=os.geteuid() == 0)


def _record(target: str) -> MountRecord:
    record = registry.find_mount(target, _records())
    if record is None or record.status is MountStatus.ENDED:
        registry.refuse_others(target)
        raise NotAMountError(
            "no WIM image is mounted there", path=target, hint="wimtui mounts lists what is"
        )
    return record


def _loose_summary(staged: stagings.StagedMount) -> MountSummary:
    note = staged.note or StagingNote()
    return MountSummary(
        mount_id="",
        wim_path=note.wim_path,
        image_index=note.image_index,
        image_name=note.image_name,
        mount_point=note.mount_point,
        mode="rw",
        status=MountStatus.DETACHED,
        detail="not mounted, uncommitted changes are staged",
        alive=False,
        pid=0,
        uid=os.geteuid(),
        created=note.created,
        staging_path=staged.staging,
        changes=note.changes,
        staged_nbytes=note.staged_nbytes,
        references=_references(note.request),
    )


def _references(request: Mapping[str, Any]) -> tuple[str, ...]:
    found = request.get("references")
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()


def _summary(record: MountRecord) -> MountSummary:
    entry = record.entry
    # Where another user says that it is may hang who looks.
    is_own = entry.staging_path and entry.uid == os.geteuid()
    note = StagingNote.read(entry.staging_path) if is_own else None
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
        changes=None if note is None else note.changes,
        staged_nbytes=None if note is None else note.staged_nbytes,
        references=_references(entry.options),
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
    if parent := given.get("staging_parent"):
        given["staging_parent"] = str(Path(parent).absolute())
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


def take_back(mount_id: str) -> None:
    """End a mount that nobody knows of yet, if it came to be; what is staged stays."""
    with contextlib.suppress(ControlError):
        unmount_at(mount_id, lazy=True)


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


def remount(
    target: str,
    mount_point: str | None = None,
    on_progress: Callable[[StartProgress], None] | None = None,
) -> MountSummary:
    """Mount again what lost its daemon, with every change. Raises as ``stagings.remount``."""
    return find_mount(stagings.remount(target, mount_point, on_progress))


def unmount_at(
    target: str,
    *,
    lazy: bool = False,
    disposition: Disposition = Disposition.KEEP,
    commit: Mapping[str, Any] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> MountSummary:
    """End a mount; returns what it was when the mount point is free and its daemon gone.

    Args:
        target: Mount point or mount id; to discard, also a staging folder.
        lazy: End it even while files are open.
        disposition: What becomes of uncommitted changes; kept in the staging folder by default.
        commit: How to commit: ``CommitSettings.fields``.
        on_event: Told what the daemon says meanwhile.

    Raises:
        NotAMountError: Nothing is mounted there.
        NotPermittedError: It is another user's; root may end it, but not drop what is staged.
        RemoteError: The daemon refuses; code 79 names who holds files open.
        ControlError: It cannot be ended otherwise.
    """
    staged = stagings.find_staged(target)
    record = staged.record
    discards = disposition is Disposition.DISCARD
    if record is None or (record.status is MountStatus.DETACHED and not record.alive):
        if not discards:
            raise NotAMountError(
                "it is not mounted, only its changes are there",
                path=staged.staging,
                hint="wimtui remount mounts it again; unmount --discard drops the changes",
            )
        stagings.discard(staged)
        return _loose_summary(staged) if record is None else _summary(record)
    if discards and staged.staging:
        stagings.require_own(staged)
    summary = _summary(record)
    request = Unmount(disposition=disposition, lazy=lazy, **(commit or {}))
    unmount(record, request, on_event=on_event)
    if discards and not record.alive and staged.staging:
        stagings.discard(stagings.find_staged(staged.staging))
    return summary


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What a clean-up removed and left."""

    unmounted: tuple[str, ...]
    """Mount points of dead mounts."""
    removed: tuple[str, ...]
    """Staging folders that were named."""
    left: tuple[str, ...]
    """Staging folders with changes that nobody named."""
    trimmed: tuple[tuple[str, int], ...] = ()
    """WIMs that were named, and how many bytes of a killed write were cut from each."""


def clean_up(named: Sequence[str] = ()) -> CleanUp:
    """Remove dead mounts, the staging folders named, and what killed writes left in WIMs named.

    Living mounts are not touched.

    Raises:
        UsageError: A folder that was named is in use.
        NotAMountError: One that was named is no staging folder.
        ControlError: The kernel does not let go of a mount.
        WimError: A WIM that was named cannot be written.
    """
    wims = [path for path in named if Path(path).is_file()]
    chosen = [stagings.find_staged(folder) for folder in named if folder not in wims]
    for staged in chosen:
        stagings.require_unused(staged)
    unmounted: list[str] = []
    for record in registry.list_mounts():
        is_dead = record.status is MountStatus.DEAD or (
            record.status is MountStatus.UNKNOWN and is_disconnected(record.entry.mount_point)
        )
        if is_dead and record.mount_points:
            clear_dead(record)
            unmounted += record.mount_points
    removed = []
    for staged in chosen:
        stagings.discard(stagings.find_staged(staged.staging))
        removed.append(staged.staging)
    left = [one.staging_path for one in list_mounts() if one.staging_path and not one.alive]
    return CleanUp(tuple(unmounted), tuple(removed), tuple(left), tuple(map(_trimmed, wims)))


def _trimmed(path: str) -> tuple[str, int]:
    # Only this needs the engine, which takes longer to load than all that most commands do.
    from wimtui.engine.commit.trim import trim

    return path, trim(path)
