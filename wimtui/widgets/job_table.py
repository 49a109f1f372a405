"""The table of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from wimtui.jobs import JobState
from wimtui.widgets.cells import Cell, age_text, plain, plain_text, size_text
from wimtui.widgets.column_table import Column, ColumnTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wimtui.jobs import Job, JobPhase
    from wimtui.widgets.cells import Tone

_TONES: dict[JobState, Tone] = {
    JobState.RUNNING: "info",
    JobState.DONE: "good",
    JobState.FAILED: "bad",
    JobState.CANCELLED: "warn",
}


class JobTable(ColumnTable["Job"]):
    """Jobs, one a row."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("state", "STATE", 11),
        Column("title", "JOB", 20, flex=1, elide="middle"),
        Column("share", "DONE", 5, align="right"),
        Column("time", "TIME", 7, align="right"),
    )
    now = 0.0
    """Seconds since 1970; set before rows are shown."""

    def row_key(self, row: Job) -> int:
        """The number."""
        return row.number

    def cell(self, row: Job, key: str) -> Cell | str:
        """What a column shows of a job."""
        match key:
            case "state":
                word = "stopping" if row.is_cancelling else row.state.value
                word = word if row.state is JobState.RUNNING else row.state.value
                return Cell(f"● {word}", _TONES[row.state])
            case "title":
                return plain(row.title)
            case "share":
                return "100%" if row.state is JobState.DONE else f"{row.progress.fraction:.0%}"
            case _:
                return age_text(row.elapsed(self.now))


def job_line(job: Job, now: float) -> str:
    """Return one line about where a job is, or how it ended."""
    if job.state is not JobState.RUNNING:
        return job.summary
    progress = job.progress
    parts = [progress.phase or "starting"]
    if progress.bytes_total:
        parts.append(f"{size_text(progress.bytes_done)} of {size_text(progress.bytes_total)}")
    if progress.items_total:
        parts.append(f"{progress.items_done:,} of {progress.items_total:,}")
    if rate := job.rate(now):
        parts.append(f"{size_text(int(rate))}/s")
    left = job.seconds_left(now)
    if left is not None:
        parts.append(f"{age_text(left)} left")
    return " · ".join(parts)


def job_log(job: Job, now: float) -> list[Cell]:
    """Return a line for each phase of a job, and then what it noted; safe to be shown."""
    failed = job.state in (JobState.FAILED, JobState.CANCELLED)
    lines = [_phase_line(phase, now) for phase in job.phases[:-1]]
    if job.phases:
        lines.append(_phase_line(job.phases[-1], now, is_cut=failed))
    return [*lines, *(Cell(plain_text(line)) for line in job.lines)]


def _phase_line(phase: JobPhase, now: float, *, is_cut: bool = False) -> Cell:
    took = (phase.ended or now) - phase.began
    done = phase.last
    parts = [f"{took:5.1f} s" if phase.ended else f"{age_text(took):>7}"]
    if done.bytes_done:
        parts.append(f"{size_text(done.bytes_done):>6}")
        if phase.ended and took > 0.3:
            parts.append(f"{size_text(int(done.bytes_done / took))}/s")
    if done.items_done:
        parts.append(f"{done.items_done:,} items")
    sign, tone = ("●", "info") if not phase.ended else ("✗", "bad") if is_cut else ("✓", "good")
    return Cell(f"{sign} {plain(phase.name):<10}{'  '.join(parts)}", tone)  # type: ignore[arg-type]
