"""Threads for blocking work."""

from __future__ import annotations

import threading

import pytest
import trio

from wimtui.engine.fuse.threads import WorkerThreads


@pytest.mark.trio
async def test_a_job_answers_with_its_value_or_its_exception() -> None:
    threads = WorkerThreads(1)

    assert await threads.run(divmod, 17, 5) == (3, 2)
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)
    assert threads.pending == 0
    threads.close()


@pytest.mark.trio
async def test_jobs_run_beside_the_loop_in_no_more_threads_than_agreed() -> None:
    threads = WorkerThreads(3)
    names: set[str] = set()
    together = threading.Barrier(3, timeout=60)

    def meet() -> None:
        names.add(threading.current_thread().name)
        together.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(9):
            nursery.start_soon(threads.run, meet)

    assert names == {"wim-read-0", "wim-read-1", "wim-read-2"}
    threads.close()


@pytest.mark.trio
async def test_cancelling_waits_for_the_job_that_began() -> None:
    threads = WorkerThreads(1)
    may_end = threading.Event()
    ended = threading.Event()

    def job() -> None:
        may_end.wait(20)
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(threads.run, job)
        await trio.testing.wait_all_tasks_blocked()
        assert threads.pending == 1
        nursery.cancel_scope.cancel()
        may_end.set()

    assert ended.is_set()
    assert threads.pending == 0
    threads.close()


@pytest.mark.trio
async def test_closing_ends_the_threads_and_refuses_jobs() -> None:
    threads = WorkerThreads(2, "closing")
    await threads.run(int)
    threads.close()

    assert not [t for t in threading.enumerate() if t.name.startswith("closing")]
    with pytest.raises(trio.ClosedResourceError):
        await threads.run(int)
    threads.close()


def test_no_threads_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        WorkerThreads(0)
