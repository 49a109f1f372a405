"""A full queue neither blocks the daemon nor loses what must arrive."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wimtui.control.errors import QueueMissingError
from wimtui.control.outbox import MAX_BACKLOG, Outbox, Outboxes
from wimtui.control.protocol import (
    DaemonState,
    EndedEvent,
    Event,
    LogEvent,
    OkReply,
    ProgressEvent,
    Reply,
    StateEvent,
)
from wimtui.control.transport import QUEUE_SLOTS, ClientQueueName, ReceiveQueue, SendQueue
from wimtui.control.wire import Envelope, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.mqueue

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def queue() -> Iterator[ReceiveQueue]:
    with ReceiveQueue.create(ClientQueueName.make().text) as made:
        yield made


@pytest.fixture
def outboxes() -> Iterator[Outboxes]:
    made = Outboxes()
    yield made
    made.close()


@pytest.fixture
def outbox(queue: ReceiveQueue, outboxes: Outboxes) -> Outbox:
    made = outboxes.open(queue.name)
    assert made is not None
    return made


def drain(queue: ReceiveQueue) -> list[Envelope]:
    found = []
    while (encoded := queue.receive_nowait()) is not None:
        found.append(decode(encoded))
    return found


def fill(outbox: Outbox) -> None:
    for number in range(QUEUE_SLOTS):
        outbox.put(ProgressEvent(bytes_done=number))
    assert not outbox.wants_write


def test_terminal_messages_wait_for_a_full_queue(outbox: Outbox, queue: ReceiveQueue) -> None:
    fill(outbox)
    last: list[Reply | Event] = [EndedEvent("commit"), OkReply(), EndedEvent("unmount")]
    for message in last:
        outbox.put(message, 5)
    assert outbox.backlog == 3
    assert not outbox.flush()
    assert len(drain(queue)) == QUEUE_SLOTS
    assert outbox.flush()
    assert [one.message for one in drain(queue)] == last


def test_of_progress_the_latest_waits_and_log_records_are_dropped(
    outbox: Outbox, queue: ReceiveQueue
) -> None:
    fill(outbox)
    for number in range(1000):
        outbox.put(ProgressEvent(bytes_done=1000 + number))
        outbox.put(StateEvent(state=DaemonState.COMMITTING, changes=number))
        outbox.put(LogEvent(text="x"))
    assert outbox.backlog == 2
    drain(queue)
    assert outbox.flush()
    progress, state = drain(queue)
    assert progress.message == ProgressEvent(bytes_done=1999)
    assert state.message == StateEvent(state=DaemonState.COMMITTING, changes=999)
    # The gap tells that some were dropped.
    assert progress.seq == QUEUE_SLOTS + 3 * 1000 - 2


def test_no_phase_is_lost(outbox: Outbox, queue: ReceiveQueue) -> None:
    fill(outbox)
    for phase in ("hash", "write", "sync"):
        for number in range(10):
            outbox.put(ProgressEvent(phase=phase, bytes_done=number))
    drain(queue)
    assert outbox.flush()
    told = [one.message for one in drain(queue)]
    assert told == [ProgressEvent(phase=p, bytes_done=9) for p in ("hash", "write", "sync")]


def test_nothing_overtakes_what_waits(outbox: Outbox, queue: ReceiveQueue) -> None:
    fill(outbox)
    outbox.put(EndedEvent("commit"))
    drain(queue)
    outbox.put(ProgressEvent(phase="later"))
    kinds = [type(one.message) for one in drain(queue)]
    assert kinds == [EndedEvent, ProgressEvent]


def test_replies_have_no_sequence_number(outbox: Outbox, queue: ReceiveQueue) -> None:
    outbox.put(StateEvent())
    outbox.put(OkReply(), 3)
    outbox.put(StateEvent())
    assert [(one.seq, one.request_id) for one in drain(queue)] == [(1, 0), (0, 3), (2, 0)]


def test_who_gets_which_event(outboxes: Outboxes, outbox: Outbox, queue: ReceiveQueue) -> None:
    with ReceiveQueue.create(ClientQueueName.make().text) as other_queue:
        other = outboxes.open(other_queue.name)
        assert other is not None
        other.subscribed, other.progress, other.log_level = True, False, logging.WARNING
        ended = EndedEvent("commit")
        outboxes.broadcast(ended, requester=outbox.name, request_id=8)
        outboxes.broadcast(ProgressEvent(), requester=outbox.name, request_id=8)
        outboxes.broadcast(StateEvent())
        outboxes.broadcast(LogEvent(text="low"), log_level=logging.INFO)
        outboxes.broadcast(LogEvent(text="high"), log_level=logging.ERROR)
        assert [(one.message, one.request_id) for one in drain(queue)] == [
            (ended, 8),
            (ProgressEvent(), 8),
        ]
        assert [(one.message, one.request_id) for one in drain(other_queue)] == [
            (ended, 0),
            (StateEvent(), 0),
            (LogEvent(text="high"), 0),
        ]


def test_a_front_end_that_removed_its_queue_is_dropped(
    outboxes: Outboxes, outbox: Outbox, queue: ReceiveQueue
) -> None:
    outboxes.prune()
    assert list(outboxes) == [outbox]
    queue.close()
    outboxes.prune()
    assert len(outboxes) == 0


def test_a_killed_front_end_is_dropped_and_its_queue_removed(outboxes: Outboxes) -> None:
    code = (
        "import time\nfrom wimtui.control.transport import *\n"
        "queue = ReceiveQueue.create(ClientQueueName.make().text)\n"
        "print(queue.name, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        outbox = outboxes.open(name)
        assert outbox is not None
        outboxes.prune()
        assert len(outboxes) == 1
        os.kill(child.pid, signal.SIGKILL)
    outboxes.prune()
    assert len(outboxes) == 0
    with pytest.raises(QueueMissingError):
        SendQueue.open(name)


def test_a_front_end_that_only_asks_is_dropped_in_the_end(
    outboxes: Outboxes, outbox: Outbox
) -> None:
    for _ in range(QUEUE_SLOTS + MAX_BACKLOG):
        outbox.put(OkReply())
    outboxes.prune()
    assert len(outboxes) == 1
    outbox.put(OkReply())
    outboxes.prune()
    assert len(outboxes) == 0


@pytest.mark.parametrize("name", ["", "/etc", "/wimtui.0.0123456789abcdef", "/wimtui.0.c.1.2.x"])
def test_answers_go_to_nothing_but_front_ends(outboxes: Outboxes, name: str) -> None:
    assert outboxes.open(name) is None


def test_a_front_end_without_a_queue(outboxes: Outboxes) -> None:
    assert outboxes.open(ClientQueueName.make().text) is None
