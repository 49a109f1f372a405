"""Long operations of the app: what they are, how far, and how they ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class JobState(StrEnum):
    """How a job stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobProgress:
    """One moment of a job. Totals of 0 mean "not known yet"."""

    phase: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    items_done: int = 0
    items_total: int = 0
    path: str = ""

    @property
    def fraction(self) -> float:
        """Done of total, 0 to 1."""
        if self.bytes_total:
            return min(self.bytes_done / self.bytes_total, 1.0)
        return min(self.items_done / self.items_total, 1.0) if self.items_total else 0.0


@dataclass(slots=True)
class Job:
    """One operation. The thread that works sets ``progress``; all else belongs to the app."""

    number: int
    title: str
    cancel: Callable[[], None]
    started: float
    """Seconds since 1970."""
    progress: JobProgress = field(default_factory=JobProgress)
    state: JobState = JobState.RUNNING
    ended: float = 0.0
    summary: str = ""
    lines: tuple[str, ...] = ()
    """What there is to read about the outcome."""
    is_cancelling: bool = False

    def elapsed(self, now: float) -> float:
        """Return the seconds it has run, or did run."""
        return max((self.ended or now) - self.started, 0.0)

    def rate(self, now: float) -> float:
        """Return bytes in a second, on average; 0 at the very beginning."""
        elapsed = self.elapsed(now)
        return self.progress.bytes_done / elapsed if elapsed > 0.3 else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Return the time to go at the average rate, or None while nobody knows."""
        rate = self.rate(now)
        if not rate or not self.progress.bytes_total or self.state is not JobState.RUNNING:
            return None
        return (self.progress.bytes_total - self.progress.bytes_done) / rate
