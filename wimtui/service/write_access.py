"""Whether a WIM may be mounted read-write, and where the changes would be staged."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from wimtui.control import registry
from wimtui.engine.archive import Archive
from wimtui.engine.commit.lock import lock_holder
from wimtui.engine.commit.precondition import check_writable
from wimtui.engine.errors import WimError


@dataclass(frozen=True, slots=True)
class StagingPlace:
    """A folder in which a staging folder could be made."""

    path: str
    """Absolute."""
    is_usable: bool
    text: str
    """One sentence without a full stop."""
    free_nbytes: int = 0


@dataclass(frozen=True, slots=True)
class WriteAccess:
    """What speaks for and against a read-write mount at this moment."""

    refusal: str
    """Why the WIM cannot be mounted read-write, with what to do; empty where nothing is known."""
    place: StagingPlace


def check_write_access(wim: str, references: tuple[str, ...], staging_typed: str) -> WriteAccess:
    """Look at a WIM and at the folder for its staging folder; ``~`` is known there.

    Args:
        wim: Path of the WIM.
        references: Globs given with ``--ref``.
        staging_typed: Where changes are to be staged; empty for beside the WIM.
    """
    return WriteAccess(write_refusal(wim, references), check_staging_place(wim, staging_typed))


def check_staging_place(wim: str, typed: str) -> StagingPlace:
    """Look at the folder for a staging folder."""
    own = Path(typed.strip()).expanduser() if typed.strip() else Path(wim).parent
    folder = own.absolute()
    if not folder.is_dir():
        return StagingPlace(str(folder), False, "no such folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        return StagingPlace(str(folder), False, "not writable: choose another folder")
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return StagingPlace(str(folder), False, (error.strerror or "cannot be read").lower())
    return StagingPlace(str(folder), True, "changes are staged there", free)


def write_refusal(wim: str, references: tuple[str, ...]) -> str:
    """Return why a WIM cannot be mounted read-write; empty where nothing speaks against it."""
    if references:
        return "a WIM opened with references can only be mounted read-only"
    holder = writer_of(wim)
    if holder:
        return holder
    try:
        with Archive.open(wim) as archive:
            check_writable(archive.wim)
    except WimError as error:
        return error.message + (f": {error.hint}" if error.hint else "")
    return ""


def writer_of(wim: str) -> str:
    """Say who writes a WIM or has it mounted read-write, empty for nobody."""
    try:
        descriptor = os.open(wim, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        pid = lock_holder(descriptor)
    finally:
        os.close(descriptor)
    if pid is None:
        return ""
    for record in registry.list_mounts(all_users=os.geteuid() == 0):
        if record.alive and record.entry.pid == pid and record.entry.mode == "rw":
            return f"it is mounted read-write at {record.entry.mount_point}"
    return f"process {pid} is writing it"
