"""Queues: limits, rights, and what their errors are called."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wimtui.control.client_queues import ClientQueue, sweep_client_queues
from wimtui.control.errors import (
    QueueError,
    QueueExistsError,
    QueueMissingError,
)
from wimtui.control.protocol import MAX_MESSAGE_NBYTES
from wimtui.control.registry_entry import clients_folder, new_mount_id
from wimtui.control.transport import (
    QUEUE_SLOTS,
    ClientQueueName,
    ReceiveQueue,
    SendQueue,
    daemon_queue_name,
    is_daemon_queue_name,
    unlink_queue,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.mqueue

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def queue() -> Iterator[ReceiveQueue]:
    with ReceiveQueue.create(daemon_queue_name(os.geteuid(), new_mount_id())) as made:
        yield made


def run_child(code: str, *, as_nobody: bool = False) -> str:
    prefix = "import os\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    # Before the change of user, as that user may not be able to read the modules.
    imports = "import os, resource\nfrom wimtui.control.transport import *\n"
    imports += "from wimtui.control.errors import *\n"
    text = imports + (prefix if as_nobody else "") + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_messages_come_in_order(queue: ReceiveQueue) -> None:
    with SendQueue.open(queue.name) as sender:
        for number in range(3):
            assert sender.try_send(b"%d" % number)
    assert [queue.receive_nowait() for _ in range(4)] == [b"0", b"1", b"2", None]


def test_a_full_queue_says_so_at_once_and_is_pollable(queue: ReceiveQueue) -> None:
    poll = select.poll()
    with SendQueue.open(queue.name) as sender:
        poll.register(sender.fileno(), select.POLLOUT)
        for _ in range(QUEUE_SLOTS):
            assert poll.poll(0)
            assert sender.try_send(b"x" * MAX_MESSAGE_NBYTES)
        assert not poll.poll(0)
        assert not sender.try_send(b"x")
        queue.receive_nowait()
        assert poll.poll(0)
        assert sender.try_send(b"x")


def test_only_the_owner_may_use_it(queue: ReceiveQueue) -> None:
    assert os.fstat(queue.fileno()).st_mode & 0o777 == 0o600
    assert os.fstat(queue.fileno()).st_uid == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused(queue: ReceiveQueue) -> None:
    code = f"""
        for use in (SendQueue.open, unlink_queue):
            try:
                use({queue.name!r})
            except QueuePermissionError as error:
                print(error.code, "only the user who mounted" in str(error))
        """
    assert run_child(code, as_nobody=True).split() == ["81", "True", "81", "True"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root serves other users")
def test_a_queue_of_root_can_be_handed_to_the_daemons_user() -> None:
    name = ClientQueueName.make().text
    with ReceiveQueue.create(name, writer_uid=65534) as queue:
        run_child(f"assert SendQueue.open({name!r}).try_send(b'hello')", as_nobody=True)
        assert queue.receive_nowait() == b"hello"


def test_a_taken_name(queue: ReceiveQueue) -> None:
    with pytest.raises(QueueExistsError, match="exists"):
        ReceiveQueue.create(queue.name)


def test_a_missing_queue() -> None:
    with pytest.raises(QueueMissingError) as caught:
        SendQueue.open("/wimtui.0.0000000000000000")
    assert caught.value.code == 38
    assert not unlink_queue("/wimtui.0.0000000000000000")


def test_closing_removes_the_queue_and_the_sender_notices(queue: ReceiveQueue) -> None:
    with SendQueue.open(queue.name) as sender:
        assert not sender.is_removed()
        queue.close()
        assert sender.is_removed()
    queue.close()
    with pytest.raises(QueueError):
        queue.receive_nowait()


def test_a_message_over_the_limit_is_an_error(queue: ReceiveQueue) -> None:
    with SendQueue.open(queue.name) as sender, pytest.raises(QueueError):
        sender.try_send(b"x" * (MAX_MESSAGE_NBYTES + 1))


FILL = """
    queues, uid = [], os.geteuid()
    try:
        while len(queues) < 200:
            if len(queues) == {count}:
                # What all others of this user have counts: they keep what they need of the limit.
                resource.setrlimit(resource.{limit}, ({value}, {value}))
            name = "/wimtui.%d.c.%d.0.%08x" % (uid, os.getpid(), len(queues))
            queues.append(ReceiveQueue.create(name))
    except QueueLimitError as error:
        print(len(queues), error)
    finally:
        for queue in queues:
            queue.close()
    """


def test_more_than_nine_queues_fit_and_the_limit_is_told() -> None:
    told = run_child(FILL.format(limit="RLIMIT_MSGQUEUE", value=100_000, count=12))
    count, _, text = told.partition(" ")
    assert int(count) == 12
    assert "fill the 100000 bytes of RLIMIT_MSGQUEUE" in text
    assert "ulimit -q" in text


def test_a_lack_of_descriptors_is_told_apart() -> None:
    told = run_child(FILL.format(limit="RLIMIT_NOFILE", value=10, count=0))
    assert "RLIMIT_NOFILE" in told
    assert "RLIMIT_MSGQUEUE" not in told


def test_names() -> None:
    mount_id = new_mount_id()
    assert is_daemon_queue_name(daemon_queue_name(1000, mount_id), 1000)
    assert not is_daemon_queue_name(daemon_queue_name(1000, mount_id), 1001)
    assert not is_daemon_queue_name("/other", 1000)
    own = ClientQueueName.make()
    assert ClientQueueName.parse(own.text) == own
    assert own.is_reader_running()
    assert ClientQueueName.parse(daemon_queue_name(1000, mount_id)) is None
    assert ClientQueueName.parse(own.text + "/..") is None


def test_queues_of_killed_front_ends_are_swept(runtime: Path) -> None:
    code = f"""
        import signal
        from wimtui.control.client_queues import ClientQueue
        made = ClientQueue.create(writer_uid={os.geteuid()})
        print(made.queue.name, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    text = "import os\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, cwd=ROOT, check=False
    )
    name = done.stdout.strip()
    alive = ClientQueue.create(writer_uid=os.geteuid())
    SendQueue.open(name).close()
    assert sweep_client_queues(runtime) == 1
    with pytest.raises(QueueMissingError):
        SendQueue.open(name)
    SendQueue.open(alive.queue.name).close()
    alive.close()
    assert list(clients_folder(runtime).iterdir()) == []
