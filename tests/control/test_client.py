"""Requests, replies and events against a daemon process, deaths included."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import threading
from pathlib import Path

import pytest

from tests.control.conftest import StartDaemon, kill, record_of, wait_for
from wimtui.control.client import DaemonClient
from wimtui.control.errors import (
    ControlError,
    ControlTimeoutError,
    DaemonGoneError,
    RemoteError,
)
from wimtui.control.protocol import (
    EndedEvent,
    Event,
    Extension,
    Hello,
    OkReply,
    Outcome,
    ProgressEvent,
    StateEvent,
    Status,
    StatusReply,
    Subscribe,
    Unmount,
)
from wimtui.control.registry import sweep
from wimtui.control.registry_entry import bulk_folder, clients_folder
from wimtui.control.transport import SendQueue

pytestmark = pytest.mark.mqueue


def test_a_request_and_its_reply(start_daemon: StartDaemon, runtime: Path) -> None:
    record = start_daemon()
    with DaemonClient(record) as client:
        reply = client.request(Hello())
        assert isinstance(reply, OkReply)
        assert reply.data == {"mount_id": record.entry.mount_id, "pid": record.entry.pid}
        assert len(list(clients_folder(runtime).iterdir())) == 1
    assert list(clients_folder(runtime).iterdir()) == []
    client.close()


def test_an_error_reply(start_daemon: StartDaemon) -> None:
    with DaemonClient(start_daemon()) as client:
        with pytest.raises(RemoteError) as caught:
            client.request(Extension(name="what is this"))
        assert (caught.value.code, caught.value.name) == (106, "version")
        assert isinstance(client.request(Hello()), OkReply)


def test_paths_that_no_message_can_hold(start_daemon: StartDaemon, runtime: Path) -> None:
    record = start_daemon(long_paths=4096)
    with DaemonClient(record) as client:
        reply = client.request(Status())
    assert isinstance(reply, StatusReply)
    assert reply.wim_path == "/é" * 2048
    assert reply.mount_point == "/m" * 2048
    assert list(bulk_folder(runtime, record.entry.mount_id).iterdir()) == []


def test_bulk_data(start_daemon: StartDaemon, runtime: Path) -> None:
    with DaemonClient(start_daemon()) as client:
        reply = client.request(Extension(name="bulk"))
        assert client.read_bulk(reply) == b"x" * 100_000
        assert not Path(reply.bulk_path).exists()
        assert client.read_bulk(OkReply()) == b""
        with pytest.raises(ControlError, match="outside its folder"):
            client.read_bulk(client.request(Extension(name="bulk", data={"path": "/etc/passwd"})))


def test_the_deadline(start_daemon: StartDaemon) -> None:
    record = start_daemon()
    with DaemonClient(record) as client:
        with pytest.raises(ControlTimeoutError, match=f"process {record.entry.pid}"):
            client.request(Extension(name="mute"), timeout_s=0.05)
        assert isinstance(client.request(Hello()), OkReply)


def test_a_daemon_that_does_not_read(start_daemon: StartDaemon) -> None:
    record = start_daemon()
    os.kill(record.entry.pid, signal.SIGSTOP)
    with DaemonClient(record) as client:
        with SendQueue.open(record.entry.queue_name) as sender:
            while sender.try_send(b"{}"):
                pass
        with pytest.raises(ControlTimeoutError, match="takes no requests"):
            client.request(Hello(), timeout_s=0.05)
    os.kill(record.entry.pid, signal.SIGCONT)


@pytest.mark.parametrize("watched", [True, False])
def test_death_ends_the_wait(start_daemon: StartDaemon, watched: bool) -> None:
    record = start_daemon()
    if not watched:
        # As in another PID namespace: only the lock tells.
        entry = dataclasses.replace(record.entry, process_started=1)
        record = dataclasses.replace(record, entry=entry)
    with DaemonClient(record) as client, pytest.raises(DaemonGoneError):
        client.request(Extension(name="die"), timeout_s=600)
    with pytest.raises(DaemonGoneError):
        DaemonClient(record_of(record.entry.mount_id))


def test_death_ends_the_wait_for_events(start_daemon: StartDaemon) -> None:
    record = start_daemon()
    with DaemonClient(record) as client:
        client.request(Subscribe())
        threading.Timer(0.05, kill, [record.entry.pid]).start()
        with pytest.raises(DaemonGoneError):
            list(client.events())


def test_a_daemon_without_its_queue(start_daemon: StartDaemon) -> None:
    record = start_daemon()
    kill(record.entry.pid)
    wait_for(lambda: not record_of(record.entry.mount_id).alive)
    outdated = dataclasses.replace(record_of(record.entry.mount_id), alive=True)
    with DaemonClient(outdated) as client, pytest.raises(DaemonGoneError):
        client.request(Hello())
    sweep()
    with pytest.raises(DaemonGoneError, match="queue is not there"):
        DaemonClient(outdated)


def test_events_that_come_before_a_reply_are_kept(start_daemon: StartDaemon) -> None:
    with DaemonClient(start_daemon()) as client:
        client.request(Subscribe())
        client.request(Extension(name="chatter", data={"events": 3}))
        events = list(client.events(timeout_s=0.2))
    assert events[:3] == [ProgressEvent(phase="write", bytes_done=n) for n in range(3)]
    assert isinstance(events[3], StateEvent)


def test_chatter_of_any_length_ends_with_the_latest(start_daemon: StartDaemon) -> None:
    with DaemonClient(start_daemon()) as client:
        client.request(Subscribe())
        client.request(Extension(name="chatter", data={"events": 5000}))
        events = list(client.events(timeout_s=0.5))
    progress = [event for event in events if isinstance(event, ProgressEvent)]
    assert progress[-1].bytes_done == 4999
    assert isinstance(events[-1], StateEvent)


def test_use_in_an_event_loop(start_daemon: StartDaemon) -> None:
    with DaemonClient(start_daemon()) as client:
        client.request(Subscribe())
        assert client.receive_nowait() is None
        client.request(Extension(name="chatter", data={"events": 1}))
        found: list[Event] = []
        poll = select.poll()
        poll.register(client.fileno(), select.POLLIN)
        while len(found) < 2:
            while (event := client.receive_nowait()) is not None:
                found.append(event)
            assert len(found) == 2 or poll.poll(10_000)
    assert [type(event) for event in found] == [ProgressEvent, StateEvent]


def test_interrupt_ends_a_wait_in_another_thread(start_daemon: StartDaemon) -> None:
    with DaemonClient(start_daemon()) as client:
        client.request(Subscribe())
        threading.Timer(0.05, client.interrupt).start()
        assert list(client.events()) == []
        client.interrupt()
        with pytest.raises(ControlTimeoutError, match="interrupted"):
            client.run(Extension(name="chatter", data={"events": 0}))


def test_run_waits_for_the_end(start_daemon: StartDaemon) -> None:
    seen: list[Event] = []
    with DaemonClient(start_daemon(unmount="fail")) as client:
        ended = client.run(Unmount(), seen.append)
    assert ended == EndedEvent("unmount", Outcome.FAILED, code=72, text="the disk is full")
    assert isinstance(seen[0], ProgressEvent)
    assert seen[0].path.startswith("...")


def test_several_front_ends_at_once(start_daemon: StartDaemon) -> None:
    record = start_daemon()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            with DaemonClient(record) as client:
                for _ in range(20):
                    assert isinstance(client.request(Hello()), OkReply)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_failed_connection_leaves_nothing(
    start_daemon: StartDaemon, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = start_daemon()

    def fail(*_: object) -> int:
        raise OSError("no eventfd")

    monkeypatch.setattr(os, "eventfd", fail)
    with pytest.raises(OSError, match="no eventfd"):
        DaemonClient(record)
    assert list(clients_folder(runtime).iterdir()) == []
