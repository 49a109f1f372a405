"""Ending a mount, through its daemon or without; returns when nothing of it runs any more."""

from __future__ import annotations

import errno
import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.control.client import DaemonClient
from wimtui.control.errors import (
    ControlError,
    ControlTimeoutError,
    DaemonGoneError,
    FuseError,
    MountBusyError,
    NotAMountError,
    NotPermittedError,
    RemoteError,
)
from wimtui.control.holders import find_holders
from wimtui.control.mountinfo import MountTable
from wimtui.control.processes import ProcessWatch
from wimtui.control.protocol import Disposition, EndedEvent, Outcome, Unmount
from wimtui.control.registry import MountRecord, MountStatus, forget_daemon

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.control.protocol import Event

_POLL_S = 0.02
_FUSERMOUNT_S = 30.0
_ANSWER_S = 3.0
_SHOWN_HOLDERS = 5
_BUSY_TRIES = 5
"""How often a mount is tried that is busy though nobody is seen to hold it."""


@dataclass(frozen=True, slots=True)
class UnmountResult:
    """How a mount ended.

    Attributes:
        by_daemon: Whether its daemon ended it, rather than the kernel being told to.
        ended: What the daemon said at the end, if it did.
    """

    by_daemon: bool
    ended: EndedEvent | None = None


def unmount(
    record: MountRecord,
    request: Unmount,
    *,
    end_s: float = 30.0,
    on_event: Callable[[Event], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> UnmountResult:
    """End a mount, and return when its mount point is free and its daemon is gone.

    A living daemon is asked; what it does then, a commit for instance, may take any time. The mount
    of a dead one is cleared, by force if files are open: nobody serves them any more.

    Args:
        record: The mount.
        request: What is to become of its changes.
        end_s: Seconds that the mount and the daemon have to go once they should.
        on_event: Called with the daemon's events.
        is_cancelled: Asked now and then; true stops a commit, and the mount stays.

    Raises:
        RemoteError: The daemon refused, was stopped, or failed; the code is its own, 79 for a busy
            mount.
        MountBusyError: Files are open.
        NotAMountError: Nothing of wimtui is mounted there.
        ControlTimeoutError: It did not end in time.
        ControlError: Something else.
    """
    point = record.entry.mount_point
    if record.alive and record.is_covered:
        raise NotAMountError(record.detail, path=point, hint="undo that, then unmount")
    if not record.alive:
        if record.status not in (MountStatus.DEAD, MountStatus.UNKNOWN):
            raise NotAMountError(record.detail or "nothing is mounted there", path=point)
        clear_dead(record, lazy=request.lazy or bool(record.entry.mount_id))
        wait_until_gone(record, time.monotonic() + end_s)
        return UnmountResult(by_daemon=False)
    ended: EndedEvent | None = None
    try:
        with DaemonClient(record) as client:
            ended = client.run(request, on_event, is_cancelled)
    except DaemonGoneError:
        # Nothing is to be saved, or it is to stay staged, as daemons do when the kernel unmounts.
        if record.entry.mode != "ro" and request.disposition is not Disposition.KEEP:
            raise
        if _mount_points_left(record):
            unmount_kernel(point, lazy=request.lazy)
    if ended is not None and ended.outcome is not Outcome.DONE:
        text = ended.text or f"unmount {ended.outcome}"
        raise RemoteError(ended.code, text, hint=ended.hint)
    wait_until_gone(record, time.monotonic() + end_s)
    return UnmountResult(by_daemon=ended is not None, ended=ended)


def clear_dead(record: MountRecord, *, lazy: bool = True) -> None:
    """Remove the mount that a dead daemon left, and the daemon's queue and entry.

    The entry stays if there is a staging folder: it then tells of that. ``lazy`` detaches the mount
    even while files are open.

    Raises:
        ControlError: The kernel does not let go of it.
    """
    for mount_point in record.mount_points:
        try:
            unmount_kernel(mount_point)
        except MountBusyError:
            if not lazy:
                raise
            unmount_kernel(mount_point, lazy=True)
    forget_daemon(record)
    staging = record.entry.staging_path
    if record.folder is not None and not (staging and os.path.isdir(staging)):  # noqa: PTH112
        record.folder.remove_dead(record.entry.mount_id)


def is_disconnected(mount_point: str) -> bool:
    """Whether a FUSE mount has lost its process; False also where that cannot be found out.

    A process that hangs would hang whoever asks, so another one asks for us.
    """
    try:
        done = subprocess.run(
            ["stat", "-f", "--", mount_point],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode != 0 and os.strerror(errno.ENOTCONN).encode() in done.stderr


def unmount_kernel(mount_point: str, *, lazy: bool = False) -> None:
    """``fusermount3 -u``, or ``-uz``, after a look that a wimtui mount is on top there.

    Raises:
        NotAMountError: Something else, or nothing, is mounted there.
        NotPermittedError: It is another user's mount.
        MountBusyError: Files are open; the message names the processes.
        FuseError: fusermount3 is missing or fails.
    """
    mount = MountTable.read().at(mount_point)
    if mount is None or not mount.is_wimtui:
        raise NotAMountError("no WIM image is mounted there", path=mount_point)
    if os.geteuid() not in (0, mount.user_id):
        raise NotPermittedError(
            f"user {mount.user_id} mounted it", path=mount_point, hint="ask them, or root"
        )
    program = shutil.which("fusermount3") or shutil.which("fusermount")
    if program is None:
        raise FuseError("fusermount3 is not installed", hint="install the package fuse3")
    for _ in range(_BUSY_TRIES):
        said = _fusermount(program, mount_point, lazy=lazy)
        if not said:
            return
        if "busy" not in said.lower():
            raise FuseError(f"it cannot be unmounted: {said}", path=mount_point)
        if find_holders(mount_point):
            break
        # Whoever looks up a path there holds the mount for that moment.
        time.sleep(_POLL_S)
    raise busy_error(mount_point)


def _fusermount(program: str, mount_point: str, *, lazy: bool) -> str:
    """Have a mount unmounted; return why it cannot be, or nothing."""
    # No shell, C locale: the one way to tell a busy mount is the text.
    try:
        done = subprocess.run(
            [program, "-uz" if lazy else "-u", "--", mount_point],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=_FUSERMOUNT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ControlTimeoutError("fusermount3 does not return", path=mount_point) from error
    said = done.stderr.decode("utf-8", "replace").strip()
    return "" if done.returncode == 0 else said or f"exit code {done.returncode}"


def busy_error(mount_point: str) -> MountBusyError:
    """The error for a mount in use, naming who uses it as far as this user may know."""
    holders = find_holders(mount_point)
    named = [f"{one.command} (process {one.pid}, {one.use})" for one in holders[:_SHOWN_HOLDERS]]
    if len(holders) > _SHOWN_HOLDERS:
        named.append(f"{len(holders) - _SHOWN_HOLDERS} more")
    return MountBusyError(
        "the mount is in use" + (f" by {', '.join(named)}" if named else ""),
        path=mount_point,
        hint="end that use, or unmount with --force" if named else "--force unmounts it anyway",
    )


def wait_until_gone(record: MountRecord, deadline: float) -> None:
    """Wait until a mount point is free of this mount, and its daemon is gone.

    Args:
        record: The mount.
        deadline: Of time.monotonic().

    Raises:
        ControlTimeoutError: That did not come about in time; says what is left.
    """
    watch = ProcessWatch(record.entry.pid, record.entry.process_started)
    try:
        while True:
            running = watch.fileno() is not None or _is_locked(record)
            left = _mount_points_left(record)
            if not running and not left:
                return
            if time.monotonic() >= deadline:
                raise _still_there(record, left)
            if _is_over(watch, _POLL_S):
                watch.close()
    finally:
        watch.close()


def _is_over(watch: ProcessWatch, wait_s: float) -> bool:
    descriptor = watch.fileno()
    if descriptor is None:
        time.sleep(wait_s)
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))


def _is_locked(record: MountRecord) -> bool:
    folder = record.folder
    found = None if folder is None else folder.find(record.entry.mount_id)
    return found is not None and found.alive


def _mount_points_left(record: MountRecord) -> tuple[str, ...]:
    device = record.entry.device
    mounts = MountTable.read().mounts
    return tuple(
        mount.mount_point
        for mount in mounts
        if mount.is_wimtui
        and (mount.device == device or (not device and mount.mount_point in record.mount_points))
    )


def _still_there(record: MountRecord, left: tuple[str, ...]) -> ControlError:
    point = record.entry.mount_point
    if point in left:
        return ControlTimeoutError("the mount is still there", path=point)
    if left:
        return ControlTimeoutError(
            f"unmounted, but it is also mounted at {', '.join(left)}",
            path=point,
            hint="unmount those bind mounts, the daemon ends with the last",
        )
    return ControlTimeoutError(
        f"unmounted, but its daemon (process {record.entry.pid}) does not end", path=point
    )
