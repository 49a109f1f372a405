"""Inode numbers that the kernel keeps while the image under the overlay is replaced."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from wimtui.engine.errors import StaleNodeError
from wimtui.engine.staging.node import FIRST_NEW_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wimtui.engine.staging.node import NodeId


class Numbering:
    """Pairs of inode numbers and node numbers; numbers of nodes yet to come are the same.

    Arrays for the hundreds of thousands of nodes of an image, eight bytes each.
    """

    def __init__(self, pairs: Iterable[tuple[int, NodeId]]) -> None:
        """Take pairs of inode number and node number."""
        self._ids = array("Q")
        self._inos = array("Q")
        self._new_ids: dict[int, NodeId] = {}
        self._new_inos: dict[NodeId, int] = {}
        for ino, number in pairs:
            if ino < FIRST_NEW_ID:
                _put(self._ids, ino, number)
            else:
                self._new_ids[ino] = number
            if number < FIRST_NEW_ID:
                _put(self._inos, number, ino)
            else:
                self._new_inos[number] = ino

    def id(self, ino: int) -> NodeId:
        """Return the node of an inode number. Raises StaleNodeError."""
        if ino >= FIRST_NEW_ID:
            return self._new_ids.get(ino, ino)
        number = self._ids[ino] if 0 <= ino < len(self._ids) else 0
        if number == 0:
            raise StaleNodeError(f"no node {ino} in this mount")
        return number

    def ino(self, number: NodeId) -> int:
        """Return the inode number of a node."""
        if number >= FIRST_NEW_ID:
            return self._new_inos.get(number, number)
        return self._inos[number]


def _put(numbers: array[int], index: int, value: int) -> None:
    if index >= len(numbers):
        numbers.extend([0] * (index + 1 - len(numbers)))
    numbers[index] = value
