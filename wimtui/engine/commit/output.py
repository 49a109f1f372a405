"""A file being written: bytes are appended through a buffer, and places patched afterwards."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from wimtui.engine.commit.disk import reported

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from wimtui.engine.commit.disk import Disk
    from wimtui.engine.container.file_bytes import FileBytes

BUFFER_NBYTES = 1 << 20
"""Bytes gathered before one write: small resources cost no system call each."""

COPY_NBYTES = 1 << 22
"""Bytes of one copy within the kernel: some 2 ms, between which a request to stop is seen."""

SYNC_NBYTES = 1 << 24
"""Bytes after which the kernel is told to begin writing them to the disk."""

_NOT_BETWEEN_THESE = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}
)
"""What the kernel, or a sandbox, says where it does not copy from file to file."""


class Output:
    """The end of an open file.

    Every method raises WriteFailedError, or NoSpaceError where the disk is full.

    Attributes:
        path: Where it is.
        shown_path: What messages name.
        position: Offset in the file of the next byte appended.
    """

    __slots__ = ("_begun", "_buffer", "_disk", "_fd", "_highest", "path", "position", "shown_path")

    def __init__(
        self, disk: Disk, fd: int, path: str, position: int, *, shown_path: str | None = None
    ) -> None:
        """Append to ``fd`` from ``position`` on."""
        self._disk = disk
        self._fd = fd
        self.path = path
        self.shown_path = path if shown_path is None else shown_path
        self.position = position
        self._buffer = bytearray()
        self._highest = position
        """Offset behind the last byte handed to the kernel."""
        self._begun = position
        """Offset up to which the kernel was told to begin writing to the disk."""

    @property
    def _flushed(self) -> int:
        return self.position - len(self._buffer)

    def append(self, data: Buffer) -> None:
        """Write at the end."""
        view = memoryview(data).cast("B")
        if len(view) >= BUFFER_NBYTES:
            self.flush()
            self._write(view, self.position)
        else:
            self._buffer += view
        self.position += len(view)
        if len(self._buffer) >= BUFFER_NBYTES:
            self.flush()

    def copy(
        self, source: FileBytes, offset: int, nbytes: int, on_bytes: Callable[[int], None]
    ) -> None:
        """Write bytes of another file at the end; those of long ranges never leave the kernel.

        Raises:
            TruncatedError: The other file ends before.
            ReadFailedError: It cannot be read.
        """
        end = offset + nbytes
        while offset < end:
            size = min(COPY_NBYTES, end - offset)
            copied = self._copy_range(source, offset, size) if size >= BUFFER_NBYTES >> 2 else 0
            if not copied:
                copied = min(size, BUFFER_NBYTES)
                self.append(source.read(offset, copied, "resource"))
            offset += copied
            on_bytes(copied)

    def _copy_range(self, source: FileBytes, offset: int, nbytes: int) -> int:
        """Copy within the kernel; return 0 where that is not possible between these files."""
        if offset + nbytes > source.size:
            return 0
        self.flush()
        try:
            copied = self._disk.copy_range(source.fileno(), self._fd, offset, self.position, nbytes)
        except OSError as error:
            if error.errno in _NOT_BETWEEN_THESE:
                return 0
            with reported(self.shown_path, "write"):
                raise
        self.position += copied
        self._written_to(self.position)
        return copied

    def patch(self, offset: int, data: bytes) -> None:
        """Overwrite bytes appended before."""
        start = offset - self._flushed
        if start >= 0:
            self._buffer[start : start + len(data)] = data
        else:
            self.flush()
            self._write(memoryview(data), offset)

    def rewind(self, offset: int) -> None:
        """Go back; what was appended from ``offset`` on will be overwritten."""
        start = offset - self._flushed
        if start >= 0:
            del self._buffer[start:]
        else:
            self._buffer.clear()
        self.position = offset

    def flush(self) -> None:
        """Hand the buffer to the kernel."""
        if self._buffer:
            offset = self._flushed
            data, self._buffer = self._buffer, bytearray()
            self._write(memoryview(data), offset)

    def finish(self) -> None:
        """Hand the buffer to the kernel, and let the file end with the last byte appended."""
        self.flush()
        if self._highest > self.position:
            with reported(self.shown_path, "write"):
                self._disk.ftruncate(self._fd, self.position)

    def _write(self, data: memoryview, offset: int) -> None:
        with reported(self.shown_path, "write"):
            done = 0
            while done < len(data):
                done += self._disk.pwrite(self._fd, data[done:], offset + done)
                self._written_to(offset + done)

    def _written_to(self, end: int) -> None:
        """Take note of bytes handed to the kernel up to an offset."""
        self._highest = max(self._highest, end)
        pending = self._highest - self._begun
        if pending >= SYNC_NBYTES:
            self._disk.begin_sync(self._fd, self._begun, pending)
            self._begun = self._highest
