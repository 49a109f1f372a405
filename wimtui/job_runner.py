"""Runs long operations in threads of their own and keeps their list."""

from __future__ import annotations

import logging
import threading
import time
from itertools import count
from typing import TYPE_CHECKING

from wimtui import messages
from wimtui.control.errors import ControlError
from wimtui.engine.errors import CancelledError, WimError
from wimtui.jobs import Job, JobProgress, JobState
from wimtui.outcomes import sentence_of
from wimtui.service.browse import CancelToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

    from wimtui.engine.progress import Progress

log = logging.getLogger(__name__)

_END_S = 3.0
"""Seconds that cancelled jobs get to clear up when the app ends."""


class JobRunner:
    """The jobs of this session.

    Attributes:
        jobs: All of them, latest last.
    """

    def __init__(self, post: Callable[[Message], object], now: Callable[[], float]) -> None:
        """Tell about jobs with ``post``, from any thread."""
        self.jobs: list[Job] = []
        self._post = post
        self._now = now
        self._numbers = count(1)
        self._threads: list[threading.Thread] = []

    @property
    def running(self) -> int:
        """Number of jobs that are not over."""
        return sum(1 for job in self.jobs if job.state is JobState.RUNNING)

    def begin(self, title: str, work: Callable[[Job, CancelToken], bool]) -> Job:
        """Run ``work`` in a thread; it says whether all is well, and sets the job's summary."""
        token = CancelToken()
        job = Job(next(self._numbers), title, token.cancel, self._now())
        self.jobs.append(job)
        log.info("%s: begun", title)

        def run() -> None:
            state = JobState.FAILED
            try:
                if work(job, token):
                    state = JobState.DONE
            except CancelledError:
                state, job.summary = JobState.CANCELLED, "cancelled; nothing is left of it"
            except (WimError, ControlError, OSError) as error:
                job.summary = sentence_of(error)
            except Exception:
                log.exception("%s broke", title)
                job.summary = "an unexpected error; the log has the details"
            job.ended = self._now()
            job.state = state
            log.info("%s: %s: %s", title, state.value, job.summary)
            self._post(messages.JobEnded(job))

        self._post(messages.JobStarted(job))
        thread = threading.Thread(target=run, name=f"job {job.number}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return job

    def cancel(self, job: Job) -> None:
        """Ask a job to stop."""
        if job.state is JobState.RUNNING:
            job.is_cancelling = True
            job.cancel()

    def clear(self) -> None:
        """Forget the jobs that are over."""
        self.jobs = [job for job in self.jobs if job.state is JobState.RUNNING]

    def stop(self) -> None:
        """Cancel all and give them a moment to clear up."""
        for job in self.jobs:
            job.cancel()
        deadline = time.monotonic() + _END_S
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))


def sink_of(job: Job) -> Callable[[Progress], None]:
    """Return what takes an operation's progress for a job."""

    def take(progress: Progress) -> None:
        job.progress = JobProgress(
            progress.phase.value, progress.bytes_done, progress.bytes_total,
            progress.items_done, progress.items_total, progress.path,
        )  # fmt: skip

    return take
