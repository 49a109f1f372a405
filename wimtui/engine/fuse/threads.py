"""A few threads for what would block the request loop: decoding chunks, reading the disk."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, TypeVarTuple

import outcome
import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Job(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    task: trio.lowlevel.Task | None
    token: trio.lowlevel.TrioToken | None


class WorkerThreads:
    """A fixed number of threads that serve trio tasks in the order of asking.

    Made for many short jobs: a job costs a queue put and one ``run_sync_soon`` instead of what
    ``trio.to_thread.run_sync`` does around each (docs/decisions/0001-fuse-loop.md has the figures).
    A job once handed over runs to its end: cancellation waits for it.
    """

    def __init__(self, thread_count: int, name: str = "wim-read") -> None:
        """Prepare so many threads; they start with the first job."""
        if thread_count < 1:
            raise ValueError(f"thread_count is {thread_count}, and must be at least 1")
        self._thread_count = thread_count
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.pending = 0
        """Jobs handed over and not answered yet. Only the trio thread changes it."""

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call a function in one of the threads and return what it returns or raises."""
        if self._closed:
            raise trio.ClosedResourceError("the worker threads are closed")
        if not self._threads:
            self._start()
        task = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()
        self.pending += 1
        try:
            self._jobs.put(_Job(function, arguments, task, token))
            result: T = await trio.lowlevel.wait_task_rescheduled(_cannot_abort)
        finally:
            self.pending -= 1
        return result

    def start(self, function: Callable[[*Ts], object], *arguments: *Ts) -> None:
        """Call a function in one of the threads; nobody waits, and it raises nothing.

        From any one thread, but not from several at the same moment as the first job.
        """
        if not self._threads:
            self._start()
        self._jobs.put(_Job(function, arguments, None, None))

    def close(self) -> None:
        """Let the threads finish the jobs they have and end. Waits for them."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start(self) -> None:
        self._threads = [
            threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
            for number in range(self._thread_count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.task is None or job.token is None:
                job.function(*job.arguments)
                del job
                continue
            answer = outcome.capture(job.function, *job.arguments)
            try:
                job.token.run_sync_soon(trio.lowlevel.reschedule, job.task, answer)
            except trio.RunFinishedError:
                return
            del job, answer


def _cannot_abort(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
