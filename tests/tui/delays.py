"""How late the event loop wakes, and whose fault that is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 0.005
_SCHEDULED = Path("/proc/thread-self/schedstat")


def waited_for_a_core() -> float:
    """Return for how many seconds this thread could have run and was not let; 0 if unknown."""
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


@dataclass(frozen=True, slots=True)
class Delay:
    """One turn of the loop, in seconds.

    Attributes:
        late: How much later than it should the loop woke.
        own: What its thread worked meanwhile.
        others: What other threads of the process worked meanwhile.
        waited: How long its thread could have run, and other processes did.
    """

    late: float = 0.0
    own: float = 0.0
    others: float = 0.0
    waited: float = 0.0

    def __str__(self) -> str:
        own, others = f"{self.own * 1000:.0f}", f"{self.others * 1000:.0f}"
        waited = f"{self.waited * 1000:.0f}"
        return (
            f"{self.late * 1000:3.0f} ms ({own} work, {others} other threads,"
            f" {waited} waiting for a core)"
        )


class Delays:
    """Wakes every few milliseconds and notes how late it was."""

    def __init__(self) -> None:
        self._worst = Delay()
        self._most_work = 0.0

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            own, all_threads, waited = time.thread_time(), time.process_time(), waited_for_a_core()
            began = time.perf_counter()
            await asyncio.sleep(_TICK_S)
            late = time.perf_counter() - began - _TICK_S
            own = time.thread_time() - own
            others = time.process_time() - all_threads - own
            if late > self._worst.late:
                waited = waited_for_a_core() - waited
                self._worst = Delay(late, own, max(others, 0.0), waited)
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
