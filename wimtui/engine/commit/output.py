"""A file being written: bytes are appended through a buffer, and places patched afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.engine.commit.disk import reported

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from wimtui.engine.commit.disk import Disk

BUFFER_NBYTES = 1 << 20
"""Bytes gathered before one write: small resources cost no system call each."""


class Output:
    """The end of an open file.

    Every method raises WriteFailedError, or NoSpaceError where the disk is full.

    Attributes:
        path: For messages.
        position: Offset in the file of the next byte appended.
    """

    __slots__ = ("_buffer", "_disk", "_fd", "path", "position")

    def __init__(self, disk: Disk, fd: int, path: str, position: int) -> None:
        """Append to ``fd`` from ``position`` on."""
        self._disk = disk
        self._fd = fd
        self.path = path
        self.position = position
        self._buffer = bytearray()

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

    def _write(self, data: memoryview, offset: int) -> None:
        with reported(self.path, "write"):
            done = 0
            while done < len(data):
                done += self._disk.pwrite(self._fd, data[done:], offset + done)
