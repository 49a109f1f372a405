"""Bytes of one file on disk, read by offset."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from itertools import count

from wimtui.engine.container.flags import HEADER_NBYTES
from wimtui.engine.errors import OpenFailedError, ReadFailedError, TruncatedError

_MAX_READ = 1 << 30
_file_numbers = count(1)


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What tells whether a path still names the file that was opened, unmodified."""

    device: int
    inode: int
    size: int
    header: bytes
    """The 208 bytes that the file was opened with."""


class FileBytes:
    """A regular file open for reading; every read names its offset, so threads can share it."""

    __slots__ = ("_fd", "device", "inode", "number", "path", "size")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open ``path``.

        Raises:
            OpenFailedError: It cannot be opened, or is no regular file.
        """
        self._fd = -1
        self.path = os.fspath(path)
        try:
            # O_NONBLOCK: opening a FIFO must not wait for a writer.
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            status = os.fstat(self._fd)
        except OSError as error:
            self.close()
            reason = error.strerror or str(error)
            raise OpenFailedError(f"cannot open: {reason}", path=self.path) from error
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise OpenFailedError("not a regular file", path=self.path)
        self.device = status.st_dev
        self.inode = status.st_ino
        self.size = status.st_size
        self.number = next(_file_numbers)
        """Distinguishes open files within the process; cache keys begin with it."""

    def read(self, offset: int, size: int, structure: str) -> bytes:
        """Return exactly ``size`` bytes at ``offset``; ``structure`` is for messages.

        Raises:
            TruncatedError: The file ends before.
            ReadFailedError: The operating system reports an error.
        """
        if offset < 0 or offset + size > self.size:
            raise self._truncated(offset, size, structure)
        if size > _MAX_READ:
            return self._read_in_pieces(offset, size, structure)
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise self._read_error(error, offset, structure) from error
        return data if len(data) == size else self._read_in_pieces(offset, size, structure)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def close(self) -> None:
        """Close the file; later reads raise ReadFailedError."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _read_in_pieces(self, offset: int, size: int, structure: str) -> bytes:
        pieces: list[bytes] = []
        remaining = size
        while remaining:
            position = offset + size - remaining
            try:
                piece = os.pread(self._fd, min(remaining, _MAX_READ), position)
            except OSError as error:
                raise self._read_error(error, position, structure) from error
            if not piece:
                raise self._truncated(offset, size, structure)
            pieces.append(piece)
            remaining -= len(piece)
        return b"".join(pieces)

    def _truncated(self, offset: int, size: int, structure: str) -> TruncatedError:
        return TruncatedError(
            f"the WIM file is truncated: {size} bytes wanted, the file has {self.size}",
            path=self.path,
            structure=structure,
            offset_in_file=offset,
        )

    def _read_error(self, error: OSError, offset: int, structure: str) -> ReadFailedError:
        return ReadFailedError(
            f"cannot read: {error.strerror}",
            path=self.path,
            structure=structure,
            offset_in_file=offset,
        )


def identity_now(path: str) -> FileIdentity:
    """Return the identity of what ``path`` names at this moment.

    Raises:
        OpenFailedError: It cannot be opened.
        TruncatedError: It is shorter than a header.
    """
    file = FileBytes(path)
    try:
        header = file.read(0, HEADER_NBYTES, "header")
        return FileIdentity(file.device, file.inode, file.size, header)
    finally:
        file.close()
