"""Long operations of the app: what they are, how far, and how they ended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG_LINES = 500


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


@dataclass(frozen=True, slots=True)
class JobPhase:
    """A part of a job, from the first that was heard of it."""

    name: str
    began: float
    """Seconds since 1970."""
    ended: float = 0.0
    """0 while it lasts."""
    last: JobProgress = field(default_factory=JobProgress)


@dataclass(slots=True)
class Job:
    """One operation. The thread that works takes in progress; all else belongs to the app."""

    number: int
    title: str
    cancel: Callable[[], None]
    started: float
    """Seconds since 1970."""
    subject: str = ""
    """The mount id or staging folder that it is about, where it is about one."""
    survives: bool = False
    """Whether somebody else does the work and goes on when the app ends."""
    progress: JobProgress = field(default_factory=JobProgress)
    phases: tuple[JobPhase, ...] = ()
    """In the order they began; the last is the present one."""
    state: JobState = JobState.RUNNING
    ended: float = 0.0
    summary: str = ""
    lines: tuple[str, ...] = ()
    """Its log, and what there is to read about the outcome."""
    is_cancelling: bool = False

    def take(self, progress: JobProgress, now: float, in_phase_s: float = 0.0) -> None:
        """Take in how far it is.

        Args:
            progress: How far.
            now: Seconds since 1970.
            in_phase_s: How long the phase has lasted, where that is not its beginning.
        """
        if progress.phase and not self._is_in(progress.phase):
            self.end_phase(now)
            self.phases = (*self.phases, JobPhase(progress.phase, now - in_phase_s))
        if progress.phase:
            self.phases = (*self.phases[:-1], replace(self.phases[-1], last=progress))
        self.progress = progress

    def _is_in(self, phase: str) -> bool:
        return bool(self.phases) and self.phases[-1].name == phase and not self.phases[-1].ended

    def end_phase(self, now: float) -> None:
        """The present phase is over."""
        if self.phases and not self.phases[-1].ended:
            self.phases = (*self.phases[:-1], replace(self.phases[-1], ended=now))

    def note(self, line: str) -> None:
        """Add a line to the log."""
        self.lines = (*self.lines[-_LOG_LINES + 1 :], line)

    def elapsed(self, now: float) -> float:
        """Return the seconds it has run, or did run."""
        return max((self.ended or now) - self.started, 0.0)

    def rate(self, now: float) -> float:
        """Return bytes in a second, on average of the phase; 0 at its very beginning."""
        began = self.phases[-1].began if self.phases else self.started
        elapsed = (self.ended or now) - began
        return self.progress.bytes_done / elapsed if elapsed > 0.3 else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Return the time to go of the phase at the average rate, None while nobody knows."""
        rate = self.rate(now)
        if not rate or not self.progress.bytes_total or self.state is not JobState.RUNNING:
            return None
        return max(self.progress.bytes_total - self.progress.bytes_done, 0) / rate
