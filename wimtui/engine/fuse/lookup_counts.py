"""How many references the kernel holds to each inode.

A tree that changes needs it: an unlinked inode may go when its count falls to zero. A tree that
does not change needs none, and counting 300,000 inodes costs some 30 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wimtui.engine.tree import Ino


class LookupCounts:
    """Counts that lookup, readdirplus and the creating requests raise and forget lowers.

    The root is never counted: the kernel holds it for as long as the mount lives, unasked.
    """

    def __init__(self) -> None:
        self._counts: dict[Ino, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, ino: Ino) -> bool:
        return ino in self._counts

    def add(self, ino: Ino) -> None:
        """Note that an answer gave the kernel one reference."""
        self._counts[ino] = self._counts.get(ino, 0) + 1

    def forget(self, references: Iterable[tuple[Ino, int]]) -> list[Ino]:
        """Take references back; return the inodes that the kernel no longer knows.

        Forgetting more than was given is tolerated as zero: forget has no answer, so an error
        could reach nobody.
        """
        gone = []
        for ino, lookups in references:
            left = self._counts.get(ino, 0) - lookups
            if left > 0:
                self._counts[ino] = left
            elif self._counts.pop(ino, None) is not None:
                gone.append(ino)
        return gone

    def known(self) -> list[Ino]:
        """Return the inodes that the kernel knows; what is left after the mount ended."""
        return list(self._counts)
