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

_CANCELLED = CancelledError.code


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
        self._threads: dict[int, threading.Thread] = {}
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """Number of jobs that are not over."""
        return sum(1 for job in self.jobs if job.state is JobState.RUNNING)

    def is_running(self, subject: str) -> bool:
        """Whether a job about a mount or a staging folder is not over."""
        with self._lock:
            return any(
                job.subject == subject and job.state is JobState.RUNNING for job in self.jobs
            )

    def begin(
        self,
        title: str,
        work: Callable[[Job, CancelToken], bool],
        *,
        subject: str = "",
        survives: bool = False,
        cancel: Callable[[], None] | None = None,
    ) -> Job:
        """Run ``work`` in a thread; it says whether all is well, and sets the job's summary.

        To be called from any thread.

        Args:
            title: What it is called.
            work: Does it, and raises what may go wrong.
            subject: The mount id or staging folder that it is about.
            survives: Whether what it follows goes on when the app ends.
            cancel: Stops it beside the token, at once.
        """
        token = CancelToken()

        def stop() -> None:
            token.cancel()
            if cancel is not None:
                cancel()

        job = Job(next(self._numbers), title, stop, self._now(), subject, survives)
        thread = threading.Thread(
            target=self._run, args=(job, work, token), name=f"job {job.number}", daemon=True
        )
        with self._lock:
            self.jobs.append(job)
            self._threads[job.number] = thread
        log.info("%s: begun", title)
        self._post(messages.JobStarted(job))
        thread.start()
        return job

    def _run(self, job: Job, work: Callable[[Job, CancelToken], bool], token: CancelToken) -> None:
        state = JobState.FAILED
        try:
            if work(job, token):
                state = JobState.DONE
        except (WimError, ControlError, OSError) as error:
            is_cancelled = getattr(error, "code", 0) == _CANCELLED
            state = JobState.CANCELLED if is_cancelled else JobState.FAILED
            told = "cancelled; nothing is left of it" if is_cancelled else sentence_of(error)
            job.summary = job.summary or told
        except Exception:
            log.exception("%s broke", job.title)
            job.summary = "an unexpected error; the log has the details"
        job.ended = self._now()
        job.end_phase(time.time())
        job.state = state
        log.info("%s: %s: %s", job.title, state.value, job.summary)
        self._post(messages.JobEnded(job))

    def cancel(self, job: Job) -> None:
        """Ask a job to stop."""
        if job.state is JobState.RUNNING:
            job.is_cancelling = True
            job.cancel()

    def clear(self) -> None:
        """Forget the jobs that are over."""
        with self._lock:
            self.jobs = [job for job in self.jobs if job.state is JobState.RUNNING]
            numbers = {job.number for job in self.jobs}
            self._threads = {one: thread for one, thread in self._threads.items() if one in numbers}

    def stop(self) -> None:
        """Cancel all that needs the app and give it a moment to clear up."""
        own = [job for job in self.jobs if not job.survives]
        for job in own:
            job.cancel()
        deadline = time.monotonic() + _END_S
        for job in own:
            self._threads[job.number].join(max(deadline - time.monotonic(), 0.0))


def sink_of(job: Job) -> Callable[..., None]:
    """Return what takes an operation's progress for a job, and the seconds the phase has lasted."""

    def take(progress: Progress, in_phase_s: float = 0.0) -> None:
        moment = JobProgress(
            progress.phase.value, progress.bytes_done, progress.bytes_total,
            progress.items_done, progress.items_total, progress.path,
        )  # fmt: skip
        job.take(moment, time.time(), in_phase_s)

    return take
