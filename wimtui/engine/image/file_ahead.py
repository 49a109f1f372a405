"""Small files decoded before they are asked for, where they are read one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wimtui.engine.image._stat import StatTable
    from wimtui.engine.image.blobs import Blobs
    from wimtui.engine.tree import OpenFile

_GAP: Final = 16
"""Inodes that a reader may leave out: folders, links, files that are empty or hard links."""

_BATCH: Final = 32
"""Inodes handed over at once, some 5 KB each in most images. Two batches are under way at most."""

_FIRST: Final = 3
"""Files in order after which a reader is believed to go on."""


class FileAhead:
    """Watches which files are opened; siblings have successive inode numbers in listing order.

    Safe between threads: races cost a file decoded early or not at all.
    """

    __slots__ = ("_blobs", "_file", "_generation", "_ino", "_scheduled", "_stat", "_streak")

    def __init__(self, stat: StatTable, blobs: Blobs) -> None:
        self._stat = stat
        self._blobs = blobs
        self._ino = -_GAP
        self._file: OpenFile | None = None
        self._streak = 0
        self._scheduled = 0
        self._generation = 0

    def opened(self, ino: int, file: OpenFile) -> None:
        """Take notice of a file that was opened, or is read without being opened."""
        # Where the kernel has the data in its cache files are opened and not read.
        was_read = getattr(self._file, "was_read", True)
        in_order = was_read and 0 < ino - self._ino <= _GAP
        self._ino = ino
        self._file = file
        if not in_order:
            self._streak = 0
            if self._scheduled:
                self._scheduled = 0
                self._generation += 1
            return
        self._streak += 1
        if self._streak >= _FIRST and self._scheduled - ino < _BATCH:
            self._schedule(max(self._scheduled, ino) + 1)

    def _schedule(self, first: int) -> None:
        self._scheduled = first + _BATCH - 1
        hashes = (self._stat.plain_sha1(ino) for ino in range(first, first + _BATCH))
        generation = self._generation
        self._blobs.load_ahead(
            [sha1 for sha1 in hashes if sha1 is not None],
            lambda: self._generation == generation,
        )
