"""The system calls that change files, in one place: tests let each fail, or kill at each."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.engine.commit.errors import NoSpaceError
from wimtui.engine.errors import WriteFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer


class Disk:
    """Changes files; every method is the system call of its name and raises OSError."""

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        """Return a descriptor of a file."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        """Write at an offset, perhaps less than all; return how much."""
        return os.pwrite(fd, data, offset)

    def copy_range(
        self, source: int, fd: int, offset_in_source: int, offset: int, nbytes: int
    ) -> int:
        """Copy from file to file within the kernel, perhaps less than all; return how much."""
        return os.copy_file_range(source, fd, nbytes, offset_in_source, offset)

    def begin_sync(self, fd: int, offset: int, nbytes: int) -> None:
        """Let the kernel begin to write a range to the disk; does not wait, and may do nothing.

        What is on its way by then need not be waited for by ``fsync``.
        """
        # This asks to drop the range from the cache, which can only follow its writing.
        with suppress(OSError):
            os.posix_fadvise(fd, offset, nbytes, os.POSIX_FADV_DONTNEED)

    def fsync(self, fd: int) -> None:
        """Return when a file is on the disk."""
        os.fsync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        """Cut or extend a file."""
        os.ftruncate(fd, size)

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, over what has it."""
        Path(source).replace(target)

    def link(self, source: str, target: str) -> None:
        """Give a file a further name, which nothing must have."""
        Path(target).hardlink_to(source)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        Path(path).unlink()

    def fsync_directory(self, path: str) -> None:
        """Make renames in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextmanager
def reported(path: str, action: str) -> Iterator[None]:
    """Turn an OSError of a file-changing call into WriteFailedError or NoSpaceError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpaceError(
                f"cannot {action}: {reason}",
                path=path,
                hint="everything is as before; make room on its disk and try again",
            ) from error
        raise WriteFailedError(f"cannot {action}: {reason}", path=path) from error
