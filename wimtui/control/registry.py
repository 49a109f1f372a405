"""All mounts of wimtui: what the registry says, reconciled with what the kernel has mounted."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui import paths
from wimtui.control.client_queues import sweep_client_queues
from wimtui.control.errors import NotPermittedError, QueueError
from wimtui.control.mountinfo import MountInfo, MountTable
from wimtui.control.protocol import DaemonState
from wimtui.control.registry_entry import RegistryEntry, bulk_folder, is_mount_id
from wimtui.control.registry_folder import FoundEntry, RegistryFolder
from wimtui.control.transport import is_daemon_queue_name, unlink_queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RUBBISH_AGE_S = 60.0
"""Files in the registry that are no entries may be about to become one for this long."""


_OVERWRITTEN = "the WIM was overwritten in place, and files in it can be read no more"
_WAY_OUT = {
    "ro": "; unmount it and mount it anew",
    "rw": "; copy the old bytes back with cp, or save what is staged with wimtui export",
}
_STILL_SHOWN = {
    "replaced": "the WIM was replaced; this mount still shows the old one",
    "gone": "the WIM was removed or renamed; this mount still shows it",
}


class MountStatus(StrEnum):
    """How a mount stands."""

    STARTING = "starting"
    OK = "ok"
    COMMITTING = "committing"
    UNMOUNTING = "unmounting"
    DEAD = "dead"
    """The mount is left without a daemon: to be cleared or remounted."""
    DETACHED = "detached"
    """Changes are staged and nothing is mounted: to be remounted, committed or discarded."""
    INVALID = "invalid"
    """The daemon lives, and its mount is not what is visible at the mount point; or its WIM was
    overwritten."""
    UNKNOWN = "unknown"
    """Mounted, and no entry tells by whom: a daemon of another session, or one that is dead."""
    ENDED = "ended"
    """Nothing is left but the entry; sweep() removes it."""


@dataclass(frozen=True, slots=True)
class MountRecord:
    """One mount.

    Attributes:
        entry: What its daemon wrote down. For a mount that no entry tells of: what the kernel says,
            with an empty ``mount_id``.
        status: How it stands.
        alive: Whether its daemon runs.
        detail: Why, in words, where the status alone does not say it; may be empty.
        runtime: The runtime folder of the entry, None without an entry.
        mount_points: Every place where the kernel has it mounted; bind mounts make it several.
        is_covered: Whether something else is mounted over it.
    """

    entry: RegistryEntry
    status: MountStatus
    alive: bool = False
    detail: str = ""
    runtime: Path | None = None
    mount_points: tuple[str, ...] = ()
    is_covered: bool = False

    @property
    def folder(self) -> RegistryFolder | None:
        """The registry folder that holds the entry."""
        return None if self.runtime is None else RegistryFolder(self.runtime, self.entry.uid)


def registry_folders(*, all_users: bool = False) -> tuple[RegistryFolder, ...]:
    """Where entries may be: this user's runtime folders or, for root, those of all users."""
    if all_users:
        return tuple(RegistryFolder(path, uid) for uid, path in paths.all_runtime_dirs())
    return tuple(RegistryFolder(path) for path in paths.runtime_dirs())


def list_mounts(
    *,
    all_users: bool = False,
    folders: Sequence[RegistryFolder] | None = None,
    table: MountTable | None = None,
) -> tuple[MountRecord, ...]:
    """Every mount, oldest first; mounts that no entry tells of come last.

    Args:
        all_users: Also the mounts of others. Their entries are visible to root alone.
        folders: Where entries are, by default registry_folders().
        table: What is mounted, by default read from the kernel.
    """
    if folders is None:
        folders = registry_folders(all_users=all_users)
    # Entries first: a mount made in between is then seen without its entry only if it has none.
    found = [entry for folder in folders for entry in folder.entries()]
    return reconcile(found, table or MountTable.read(), None if all_users else os.geteuid())


def find_mount(target: str | Path, records: Iterable[MountRecord]) -> MountRecord | None:
    """The mount at a path, or the one with that mount id. The path itself is not looked at.

    Of several at the same mount point it is the one that is mounted there, else the latest.
    """
    text = str(target)
    where = resolved_mount_point(text)
    matches = [
        record
        for record in records
        if (record.entry.mount_id and record.entry.mount_id == text)
        or record.entry.mount_point == where
        or where in record.mount_points
    ]
    matches.sort(key=lambda record: (bool(record.mount_points), record.alive, record.entry.created))
    return matches[-1] if matches else None


def refuse_others(target: str) -> None:
    """Raise NotPermittedError if another user's WIM is mounted at a path."""
    mount = MountTable.read().at(resolved_mount_point(target))
    if mount is not None and mount.is_wimtui and os.geteuid() not in (0, mount.user_id):
        raise NotPermittedError(
            f"user {mount.user_id} mounted it", path=target, hint="ask them, or root"
        )


def resolved_mount_point(path: str) -> str:
    """``path`` as the kernel shows it: absolute, without links.

    The last part is only examined if it is a link, for which the mount on it, which may hang, need
    not answer.
    """
    absolute = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow the last part
    parent, name = os.path.split(absolute)
    place = os.path.join(os.path.realpath(parent), name)  # noqa: PTH118
    if MountTable.read().at(place) is not None:
        return place
    return os.path.realpath(place)


def reconcile(
    found: Sequence[FoundEntry], table: MountTable, uid: int | None = None
) -> tuple[MountRecord, ...]:
    """Entries and mounts put together.

    A device number serves again once its mount is gone, so entries take their mounts in turn: the
    living first, then the latest.

    Args:
        found: The entries.
        table: What is mounted.
        uid: Of the mounts that no entry tells of, only this user's are taken; None for all.
    """
    free: dict[str, MountInfo] = {}
    for mount in table.mounts:
        if mount.is_wimtui:
            free.setdefault(mount.device, mount)
    records = []
    for one in sorted(found, key=lambda f: (f.alive, f.entry.created), reverse=True):
        own = _mount_of(one, table, free)
        if own is not None:
            del free[own.device]
        status, detail = _judge(one, own, table)
        points = () if own is None else _mount_points(table, own.device)
        is_covered = own is not None and _is_covered(one.entry.mount_point, own.device, table)
        records.append(
            MountRecord(one.entry, status, one.alive, detail, one.runtime, points, is_covered)
        )
    records.sort(key=lambda record: record.entry.created)
    unknown = [mount for mount in free.values() if uid is None or mount.user_id in (uid, None)]
    return (*records, *(_unrecorded(mount, table) for mount in unknown))


def sweep(
    *, folders: Sequence[RegistryFolder] | None = None, table: MountTable | None = None
) -> tuple[MountRecord, ...]:
    """Remove what nobody needs any more, and say which mounts that was.

    Entries whose daemon, mount and staging folder are gone; the queues and bulk files of daemons
    that are gone; the queues of front ends that are gone. Only the user's own.
    """
    if folders is None:
        folders = registry_folders()
    removed = []
    for record in list_mounts(folders=folders, table=table):
        if record.alive or record.runtime is None or record.entry.uid != os.geteuid():
            continue
        forget_daemon(record)
        folder = record.folder
        if record.status is not MountStatus.ENDED or folder is None:
            continue
        if folder.remove_dead(record.entry.mount_id):
            removed.append(record)
    for folder in folders:
        folder.remove_rubbish(_RUBBISH_AGE_S)
        sweep_client_queues(folder.runtime)
        _sweep_bulk(folder)
    return tuple(removed)


def forget_daemon(record: MountRecord) -> None:
    """Remove the queue of a daemon that is gone."""
    if is_daemon_queue_name(record.entry.queue_name, record.entry.uid):
        with contextlib.suppress(QueueError):
            unlink_queue(record.entry.queue_name)


def _mount_of(found: FoundEntry, table: MountTable, free: dict[str, MountInfo]) -> MountInfo | None:
    """The mount an entry tells of: by device, wherever it is; else, for want of one, by place."""
    entry = found.entry
    if entry.device:
        mount = free.get(entry.device)
        if mount is None or mount.user_id not in (entry.uid, None):
            return None
        at_point = table.at(entry.mount_point)
        known = at_point is not None and at_point.device == entry.device
        moved = _is_source(mount.source, entry) and any(
            place.kernel_mount_id == entry.kernel_mount_id
            for place in table.of_device(entry.device)
        )
        return mount if found.alive or known or moved else None
    mount = table.at(entry.mount_point)
    if mount is None or mount.device not in free or mount.user_id not in (entry.uid, None):
        return None
    return mount


def _is_source(source: str, entry: RegistryEntry) -> bool:
    """Whether a mount can be that of an entry: numbers of devices and mounts serve again."""
    options = entry.options.get("fuse_options")
    words = options if isinstance(options, list | tuple) else ()
    return source == entry.wim_path or any("fsname=" in str(word) for word in words)


def _judge(
    found: FoundEntry, mount: MountInfo | None, table: MountTable
) -> tuple[MountStatus, str]:
    entry = found.entry
    staging_left = _is_staging_left(entry)
    if not found.alive:
        if mount is not None:
            return MountStatus.DEAD, "the daemon is gone, its mount is left"
        if staging_left:
            return MountStatus.DETACHED, "not mounted, uncommitted changes are staged"
        return MountStatus.ENDED, ""
    if mount is not None:
        if _is_covered(entry.mount_point, mount.device, table):
            return MountStatus.INVALID, "something else is mounted over it"
        points = _mount_points(table, mount.device)
        if entry.mount_point not in points:
            return MountStatus.INVALID, f"moved to {', '.join(points)}"
        return _told_of_wim(MountStatus(entry.state), entry.mode, entry.wim_state)
    if entry.state in (DaemonState.STARTING, DaemonState.COMMITTING, DaemonState.UNMOUNTING):
        return MountStatus(entry.state), ""
    if _in_other_namespace(entry.pid):
        return MountStatus.INVALID, "mounted in another mount namespace"
    if entry.state is DaemonState.DETACHED or staging_left:
        return MountStatus.DETACHED, "not mounted, uncommitted changes are staged"
    return MountStatus.UNMOUNTING, "unmounted, the daemon is about to end"


def _told_of_wim(status: MountStatus, mode: str, wim_state: str) -> tuple[MountStatus, str]:
    """Return the status of a mount, and why, as its WIM stands.

    Args:
        status: As the mount stands.
        mode: ``ro`` or ``rw``.
        wim_state: ``overwritten``, ``replaced`` or ``gone``; empty, or what a later version says.
    """
    if status is not MountStatus.OK:
        return status, ""
    if wim_state == "overwritten":
        return MountStatus.INVALID, _OVERWRITTEN + _WAY_OUT.get(mode, "")
    return status, _STILL_SHOWN.get(wim_state, "")


def _is_staging_left(entry: RegistryEntry) -> bool:
    """Whether staged changes are left; another user's path, which may hang, is believed."""
    if not entry.staging_path or entry.uid != os.geteuid():
        return bool(entry.staging_path)
    return Path(entry.staging_path).is_dir()


def _unrecorded(mount: MountInfo, table: MountTable) -> MountRecord:
    entry = RegistryEntry(
        mount_id="",
        wim_path=mount.source,
        mount_point=mount.mount_point,
        mode="ro" if "ro" in mount.options else "rw",
        uid=-1 if mount.user_id is None else mount.user_id,
        kernel_mount_id=mount.kernel_mount_id,
        device=mount.device,
    )
    return MountRecord(
        entry,
        MountStatus.UNKNOWN,
        detail="no registry entry tells of it: another session's, or dead",
        mount_points=_mount_points(table, mount.device),
    )


def _mount_points(table: MountTable, device: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(mount.mount_point for mount in table.of_device(device)))


def _is_covered(mount_point: str, device: str, table: MountTable) -> bool:
    """Whether a mount is at its mount point, and something else on top of it."""
    on_top = table.at(mount_point)
    is_on_top = on_top is not None and on_top.device == device
    return not is_on_top and mount_point in _mount_points(table, device)


def _in_other_namespace(pid: int) -> bool:
    """Whether a process is known to see other mounts than this one."""
    try:
        return not os.path.samestat(
            Path(f"/proc/{pid}/ns/mnt").stat(), Path("/proc/self/ns/mnt").stat()
        )
    except OSError:
        return False


def _sweep_bulk(folder: RegistryFolder) -> None:
    """Remove the bulk folders of daemons that are gone."""
    bulk = bulk_folder(folder.runtime, "")
    with contextlib.suppress(OSError):
        for child in list(bulk.iterdir()):
            found = folder.find(child.name) if is_mount_id(child.name) else None
            if found is None or not found.alive:
                shutil.rmtree(child, ignore_errors=True)
