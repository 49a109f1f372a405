"""The lock that keeps two writers off one WIM: flock(2), which wimlib-imagex takes too."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from wimtui.engine.errors import LockedError, OpenFailedError

if TYPE_CHECKING:
    from types import TracebackType


class WimLock:
    """An exclusive lock on one file, held until closed.

    Attributes:
        fd: Descriptor of the locked file, open for reading.
    """

    __slots__ = ("fd", "is_held")

    def __init__(self, fd: int, *, is_held: bool) -> None:
        """Own ``fd``; use ``take``."""
        self.fd = fd
        self.is_held = is_held
        """False on a file system that knows no locks."""

    @classmethod
    def take(cls, path: str) -> Self:
        """Lock a file.

        Raises:
            LockedError: Another process writes it; names the process where it can be found out.
            OpenFailedError: It cannot be opened.
        """
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise OpenFailedError(f"cannot open: {error.strerror}", path=path) from error
        try:
            return cls(fd, is_held=lock_descriptor(fd, path))
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        """Let go."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def lock_descriptor(fd: int, path: str) -> bool:
    """Lock an open file; return False where the file system has no locks. Raises LockedError."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            return False
        holder = lock_holder(fd)
        by = "another process" if holder is None else _describe(holder)
        raise LockedError(
            f"{by} is writing it or has it mounted read-write",
            path=path,
            hint="wait for it to end, or unmount it",
        ) from error
    return True


def lock_holder(fd: int) -> int | None:
    """Return the process that holds the flock(2) on an open file, from /proc/locks."""
    status = os.fstat(fd)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == place and words[4].isdecimal():
            return int(words[4])
    return None


def _describe(pid: int) -> str:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        arguments = []
    command = " ".join(os.fsdecode(word) for word in arguments if word)
    return f"process {pid} ({command[:120]})" if command else f"process {pid}"
