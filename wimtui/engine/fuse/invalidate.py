"""Telling the kernel that what it remembers has changed."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeVarTuple

import pyfuse3
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wimtui.engine.tree import Ino


Ts = TypeVarTuple("Ts")


class KernelCache:
    """What the kernel keeps about the mount of this process.

    For tasks beside the request loop, never for handlers: the kernel may hold locks until the
    request under way is answered, and waits with the notification for them. Each call blocks in a
    thread, so that the loop can go on answering.
    """

    async def invalidate_inode(self, ino: Ino, *, attributes_only: bool = False) -> bool:
        """Have the kernel drop an inode's attributes, and its pages unless told otherwise.

        Returns:
            Whether the kernel knew the inode.
        """
        return await self.invalidate_inodes([ino], attributes_only=attributes_only) == 1

    async def invalidate_inodes(self, inos: Iterable[Ino], *, attributes_only: bool = False) -> int:
        """Have the kernel drop many inodes with one change of threads; return how many it knew."""

        def invalidate_all() -> int:
            return sum(_known(pyfuse3.invalidate_inode, ino, attributes_only) for ino in inos)

        return await trio.to_thread.run_sync(invalidate_all)

    async def invalidate_entry(self, parent: Ino, name: bytes) -> bool:
        """Have the kernel look a name up again, also one it remembers as absent.

        Returns:
            Whether the kernel knew the name.
        """
        return await trio.to_thread.run_sync(_known, _invalidate_entry, parent, name)


def _invalidate_entry(parent: Ino, name: bytes) -> None:
    pyfuse3.invalidate_entry(parent, name)


def _known(notify: Callable[[*Ts], None], *arguments: *Ts) -> bool:
    """Send one notification; False where the kernel has nothing to drop."""
    try:
        notify(*arguments)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return False
    return True
