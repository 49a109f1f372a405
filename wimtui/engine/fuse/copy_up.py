"""Bringing files into staging while other requests go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from wimtui.engine.fuse.callers import CallerToken

if TYPE_CHECKING:
    from wimtui.engine.tree import Ino, WriteTree

COPIES_AT_ONCE: Final = 4
"""Threads of their own: a copy of 4 GiB must not take one from those that answer reads."""


class CopyUps:
    """The copies under way; each file is copied once, whoever else waits for it."""

    def __init__(self, tree: WriteTree) -> None:
        """Copy for one tree. Call the methods from the trio thread."""
        self._tree = tree
        self._limiter = trio.CapacityLimiter(COPIES_AT_ONCE)
        self._running: dict[Ino, tuple[trio.Event, CallerToken]] = {}
        self.nbytes = 0
        """Bytes brought into staging since the mount began."""

    def __len__(self) -> int:
        return len(self._running)

    async def bring(self, ino: Ino, keep: int | None = None, thread_id: int = 0) -> None:
        """Return when a file can be written to; without a checkpoint where that is so already.

        Args:
            ino: The file.
            keep: The size about to be set; what lies behind is not copied.
            thread_id: Who waits; if it is told to stop, so is the copy.

        Raises:
            CancelledError: The one who waits was told to stop, or ``cancel_all`` was called.
            OSError: The staging disk is full or broken.
            WimError: The data cannot be read.
        """
        while nbytes := self._tree.copy_up_size(ino, keep=keep):
            running = self._running.get(ino)
            if running is None:
                await self._copy(ino, keep, thread_id)
                self.nbytes += nbytes
                return
            # It may fail or be cancelled for reasons of its own, hence the loop.
            await running[0].wait()

    def cancel_all(self) -> None:
        """Stop every copy: the mount ends."""
        for _, token in self._running.values():
            token.cancel()

    async def _copy(self, ino: Ino, keep: int | None, thread_id: int) -> None:
        done, token = trio.Event(), CallerToken(thread_id)
        self._running[ino] = done, token
        try:
            await trio.to_thread.run_sync(
                self._tree.copy_up, ino, keep, token, limiter=self._limiter
            )
        finally:
            del self._running[ino]
            done.set()
