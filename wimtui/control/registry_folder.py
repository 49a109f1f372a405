"""The registry entries in one runtime folder, as processes other than their daemons read them."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.control.registry_entry import (
    ENTRY_SUFFIX,
    RegistryEntry,
    is_named,
    mounts_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

_MAX_ENTRY_NBYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry as some process reads it.

    Attributes:
        entry: What the daemon wrote.
        runtime: The runtime folder it is in.
        alive: Whether the daemon holds its lock.
    """

    entry: RegistryEntry
    runtime: Path
    alive: bool

    @property
    def path(self) -> Path:
        """The file."""
        return mounts_folder(self.runtime) / (self.entry.mount_id + ENTRY_SUFFIX)


class RegistryFolder:
    """The entries in the runtime folder of one user, who need not be the reader.

    Root reads what others wrote: links are not followed, files of any other owner are ignored.
    """

    __slots__ = ("_uid", "runtime")

    def __init__(self, runtime: Path, uid: int | None = None) -> None:
        self.runtime = runtime
        self._uid = os.geteuid() if uid is None else uid

    def entries(self) -> tuple[FoundEntry, ...]:
        """Every entry that can be read."""
        with self._opened() as folder:
            if folder is None:
                return ()
            names = [name for name in _names(folder) if name.endswith(ENTRY_SUFFIX)]
            found = (self._read(folder, name) for name in names)
            return tuple(entry for entry in found if entry is not None)

    def find(self, mount_id: str) -> FoundEntry | None:
        """The entry of one mount."""
        with self._opened() as folder:
            return None if folder is None else self._read(folder, mount_id + ENTRY_SUFFIX)

    def remove_dead(self, mount_id: str) -> bool:
        """Delete an entry that no daemon holds; whether it was deleted."""
        with self._opened() as folder:
            return folder is not None and _remove_unlocked(folder, mount_id + ENTRY_SUFFIX)

    def remove_rubbish(self, min_age_s: float) -> None:
        """Delete files that are no entries, unlocked and older than ``min_age_s`` seconds."""
        with self._opened() as folder:
            if folder is None:
                return
            for name in _names(folder):
                if name.endswith(ENTRY_SUFFIX) and self._read(folder, name) is not None:
                    continue
                with contextlib.suppress(OSError):
                    age = time.time() - os.lstat(name, dir_fd=folder).st_mtime
                    if age >= min_age_s and _remove_unlocked(folder, name):
                        log.info("removed %s, which is no registry entry", name)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """A descriptor of the folder; None if there is none of that user's."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            folder = os.open(mounts_folder(self.runtime), flags)
        except OSError:
            yield None
            return
        try:
            yield folder if os.fstat(folder).st_uid == self._uid else None
        finally:
            os.close(folder)

    def _read(self, folder: int, name: str) -> FoundEntry | None:
        # A file that was replaced while it was looked at has lost its lock to its replacement.
        while True:
            opened = _open_file(folder, name)
            if opened is None:
                return None
            try:
                if os.fstat(opened).st_uid != self._uid:
                    return None
                alive = not _try_lock(opened, fcntl.LOCK_SH)
                if not alive and not is_named(opened, name, folder):
                    continue
                entry = RegistryEntry.parse(os.read(opened, _MAX_ENTRY_NBYTES))
            except (OSError, ValueError) as error:
                log.warning("%s is no registry entry: %s", name, error)
                return None
            finally:
                os.close(opened)
            if name != entry.mount_id + ENTRY_SUFFIX or entry.uid != self._uid:
                log.warning("%s does not tell of a mount of user %d", name, self._uid)
                return None
            return FoundEntry(entry, self.runtime, alive)


def _names(folder: int) -> list[str]:
    return sorted(os.listdir(folder))


def _open_file(folder: int, name: str) -> int | None:
    # Not blocking, for the case that it is a FIFO.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        opened = os.open(name, flags, dir_fd=folder)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        return None
    return opened


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_unlocked(folder: int, name: str) -> bool:
    opened = _open_file(folder, name)
    if opened is None:
        return False
    try:
        if not _try_lock(opened, fcntl.LOCK_EX) or not is_named(opened, name, folder):
            return False
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    finally:
        os.close(opened)
    return True
