"""How late the event loop wakes, and whose fault that is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

_TICK_S = 0.005


@dataclass(frozen=True, slots=True)
class Delay:
    """One turn of the loop, in seconds.

    Attributes:
        late: How much later than it should the loop woke.
        own: What its thread worked meanwhile.
        others: What other threads of the process worked meanwhile.
    """

    late: float = 0.0
    own: float = 0.0
    others: float = 0.0

    def __str__(self) -> str:
        own, others = f"{self.own * 1000:.0f}", f"{self.others * 1000:.0f}"
        return f"{self.late * 1000:.0f} ms ({own} work, {others} other threads)"


class Delays:
    """Wakes every few milliseconds and notes how late it was."""

    def __init__(self) -> None:
        self._worst = Delay()
        self._most_work = 0.0

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            began, own, all_threads = time.perf_counter(), time.thread_time(), time.process_time()
            await asyncio.sleep(_TICK_S)
            late = time.perf_counter() - began - _TICK_S
            own = time.thread_time() - own
            others = time.process_time() - all_threads - own
            if late > self._worst.late:
                self._worst = Delay(late, own, max(others, 0.0))
            self._most_work = max(self._most_work, own)

    def take(self) -> Figure:
        """Return the worst since the last call."""
        figure = Figure(self._worst, self._most_work)
        self._worst, self._most_work = Delay(), 0.0
        return figure


@dataclass(frozen=True, slots=True)
class Figure:
    """The worst of a while.

    Attributes:
        worst: The longest delay.
        most_work: The most that the loop's own thread worked in one turn, in seconds.
    """

    worst: Delay = Delay()
    most_work: float = 0.0

    def __or__(self, other: Figure) -> Figure:
        """The worse of both."""
        worst = max(self.worst, other.worst, key=lambda one: one.late)
        return Figure(worst, max(self.most_work, other.most_work))

    def __str__(self) -> str:
        return f"{self.worst}, most work in one turn {self.most_work * 1000:.0f} ms"
