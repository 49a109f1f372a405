"""Looking before waiting, and letting others run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pyfuse3
import pytest
import trio

from wimtui.engine.fuse.request_loop import REQUESTS_A_TURN, ReadLock, RequestLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

BINDING: Any = pyfuse3


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.trio
async def test_what_is_there_is_taken_without_a_checkpoint_until_the_turn_is_over(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    os.write(writer, b"x")
    loop = RequestLoop()
    ran = trio.Event()

    async def other() -> None:
        ran.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        with loop.installed():
            for _ in range(REQUESTS_A_TURN):
                await BINDING.trio.lowlevel.wait_readable(reader)
            assert not ran.is_set()
            # The wait that ends the turn may return in the same round of the scheduler in which
            # others run, and before them; the next one cannot.
            for _ in range(REQUESTS_A_TURN + 2):
                await BINDING.trio.lowlevel.wait_readable(reader)
            assert ran.is_set()

    assert loop.immediate == 2 * REQUESTS_A_TURN


@pytest.mark.trio
async def test_where_nothing_is_there_the_loop_waits_in_trio(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    loop = RequestLoop()
    closed = trio.Event()

    async def wait() -> None:
        try:
            await BINDING.trio.lowlevel.wait_readable(reader)
        except BINDING.trio.ClosedResourceError:
            closed.set()

    with loop.installed():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            os.write(writer, b"x")
        assert not closed.is_set()

        os.read(reader, 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            BINDING.trio.lowlevel.notify_closing(reader)
        assert closed.is_set()

    assert loop.immediate == 0


def test_pyfuse3_gets_trio_back_whatever_happens() -> None:
    def fail_inside() -> None:
        with RequestLoop().installed():
            assert BINDING.trio is not trio
            assert BINDING.trio.open_nursery is trio.open_nursery
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert BINDING.trio is trio


@pytest.mark.trio
async def test_the_lock_goes_to_another_only_when_its_holder_waits() -> None:
    lock = ReadLock()
    order: list[str] = []

    async def second() -> None:
        async with lock:
            order.append("second")

    async with trio.open_nursery() as nursery:
        async with lock:
            nursery.start_soon(second)
            await trio.testing.wait_all_tasks_blocked()
        async with lock:
            order.append("first again")
            await trio.testing.wait_all_tasks_blocked()
        order.append("first released")

    assert order == ["first again", "first released", "second"]


@pytest.mark.trio
async def test_the_lock_survives_the_cancellation_of_who_waits_for_it() -> None:
    lock = ReadLock()
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with lock:
            entered.append(number)

    async with trio.open_nursery() as nursery, lock:
        with trio.move_on_after(0):
            await enter(1)
        nursery.start_soon(enter, 2)
        await trio.testing.wait_all_tasks_blocked()

    assert entered == [2]
