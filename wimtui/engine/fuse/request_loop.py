"""How pyfuse3's loop waits for the next request: by looking before it waits.

As shipped, pyfuse3 spends five system calls and two rounds of trio's scheduler on each request.
What it takes from trio is found through its module variable ``trio``, which pyfuse3's own asyncio
mode replaces; here the lock and the wait are replaced, the rest stays trio's. Figures and the
alternatives: docs/decisions/0001-fuse-loop.md.
"""

from __future__ import annotations

import contextlib
import select
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pyfuse3
import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS_A_TURN: Final = 16
"""Requests answered in a row before other tasks get their turn; at 12 us each, 0.2 ms."""


class ReadLock:
    """Lets one task at a time wait for requests.

    ``trio.Lock`` runs the scheduler on every acquisition and hands itself to the next waiter on
    every release. This one does neither while it is free: the task that answered a request reads
    the next one too, and another takes over only when that task waits for something else.
    """

    def __init__(self) -> None:
        self._locked = False
        self._waiters = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        while self._locked:
            await self._waiters.park()
        self._locked = True

    async def __aexit__(self, *_: object) -> None:
        self._locked = False
        if self._waiters:
            self._waiters.unpark()


class RequestLoop:
    """The waiting of one session."""

    def __init__(self) -> None:
        self._poll: select.poll | None = None
        self._turn_left = REQUESTS_A_TURN
        self.immediate = 0
        """Requests that were there already when the loop looked."""

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Have pyfuse3 wait this way for as long as the context lasts."""
        binding: Any = pyfuse3
        lowlevel = SimpleNamespace(**vars(trio.lowlevel))
        lowlevel.wait_readable = self._wait_readable
        replacement = SimpleNamespace(**vars(trio))
        replacement.Lock = ReadLock
        replacement.lowlevel = lowlevel
        binding.trio = replacement
        try:
            yield
        finally:
            binding.trio = trio

    async def _wait_readable(self, descriptor: int) -> None:
        """Return when a request is there; let other tasks run at least once a turn.

        A client that waits for its answer has usually sent the next request by the time the loop
        comes back here, so that a look of 1 us saves a wait of 15.
        """
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLIN)
        if self._turn_left > 0 and self._poll.poll(0):
            self._turn_left -= 1
            self.immediate += 1
            return
        self._turn_left = REQUESTS_A_TURN
        await trio.lowlevel.wait_readable(descriptor)
