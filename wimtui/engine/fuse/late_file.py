"""A file opened for writing, of which nothing is copied before the first write."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wimtui.engine.tree import Ino, OpenFile, WritableFile, WriteTree


class LateFile:
    """Reads what the tree shows until it is written to.

    A program that opens a file for reading and writing and only reads changes nothing, and a copy
    of gigabytes that nobody needs is never made.
    """

    __slots__ = ("_reader", "_tree", "_writer", "ino", "thread_id")

    def __init__(self, tree: WriteTree, ino: Ino, thread_id: int) -> None:
        """Stand for an open file; nothing is opened yet.

        Args:
            tree: Where it is.
            ino: Which it is.
            thread_id: Who opened it: the one to ask whether a copy is still wanted.
        """
        self._tree = tree
        self._reader: OpenFile | None = None
        self._writer: WritableFile | None = None
        self.ino = ino
        self.thread_id = thread_id

    @property
    def writer(self) -> WritableFile:
        """The file for writing; its data must be staged."""
        if self._writer is None:
            self._writer = self._tree.open_for_writing(self.ino)
        return self._writer

    def is_open_for_writing(self) -> bool:
        """Whether somebody has written."""
        return self._writer is not None

    def read_nowait(self, offset: int, size: int) -> bytes | None:
        """As OpenFile."""
        return self._file().read_nowait(offset, size)

    def read(self, offset: int, size: int) -> bytes:
        """As OpenFile."""
        return self._file().read(offset, size)

    def close(self) -> None:
        """Give up what was opened; not earlier, as a thread may still be reading with it."""
        for file in (self._reader, self._writer):
            if file is not None:
                file.close()
        self._reader = self._writer = None

    def _file(self) -> OpenFile:
        if self._writer is not None:
            return self._writer
        if self._reader is None:
            self._reader = self._tree.open_file(self.ino)
        return self._reader
