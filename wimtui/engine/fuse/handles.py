"""What the kernel holds open, by the number it was given."""

from __future__ import annotations

import errno
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

from wimtui.engine.fuse.errno_map import Refusal

if TYPE_CHECKING:
    from wimtui.engine.tree import Ino

T = TypeVar("T")

_BAD_HANDLE = Refusal(errno.EBADF)


class HandleTable(Generic[T]):
    """Open files or directories by file handle, and how often each inode is open.

    A number is never given out twice, so that a late release cannot hit another file.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._items: dict[int, tuple[Ino, T]] = {}
        self._opens: Counter[Ino] = Counter()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, ino: Ino, item: T) -> int:
        """Keep an item; return the handle."""
        handle = next(self._numbers)
        self._items[handle] = (ino, item)
        self._opens[ino] += 1
        return handle

    def get(self, handle: int) -> T:
        """Return the item of a handle. Raises FUSEError(EBADF)."""
        try:
            return self._items[handle][1]
        except KeyError:
            raise _BAD_HANDLE.fresh() from None

    def ino(self, handle: int) -> Ino:
        """Return the inode that a handle was opened on. Raises FUSEError(EBADF)."""
        try:
            return self._items[handle][0]
        except KeyError:
            raise _BAD_HANDLE.fresh() from None

    def remove(self, handle: int) -> T:
        """Forget a handle and return its item. Raises FUSEError(EBADF)."""
        try:
            ino, item = self._items.pop(handle)
        except KeyError:
            raise _BAD_HANDLE.fresh() from None
        self._opens[ino] -= 1
        if self._opens[ino] == 0:
            del self._opens[ino]
        return item

    def is_open(self, ino: Ino) -> bool:
        """Whether some handle was opened on an inode."""
        return ino in self._opens

    def open_inodes(self) -> dict[Ino, int]:
        """Return how often each inode is open; inodes that are not are absent."""
        return dict(self._opens)

    def drain(self) -> list[T]:
        """Forget every handle, return the items: after an unmount the kernel releases nothing."""
        items = [item for _, item in self._items.values()]
        self._items.clear()
        self._opens.clear()
        return items
