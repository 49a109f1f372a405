"""POSIX message queues: the only place that knows posix_ipc.

Queues are small, QUEUE_SLOTS messages of MAX_MESSAGE_NBYTES bytes: the kernel charges each queue in
full to the user who made it, about 17 KiB against a default allowance of 800 KiB, which makes 46
of ours but only nine of the default size. Nothing here ever blocks. A queue's descriptor can be
polled, as a pipe's can.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import posix_ipc

from wimtui.control.errors import (
    QueueError,
    QueueExistsError,
    QueueLimitError,
    QueueMissingError,
    QueuePermissionError,
)
from wimtui.control.processes import is_running, start_ticks
from wimtui.control.protocol import MAX_MESSAGE_NBYTES

if TYPE_CHECKING:
    from types import TracebackType

QUEUE_SLOTS = 8
"""Messages that a queue holds; the kernel's default limit, fs.mqueue.msg_max, is 10."""

_QUEUE_MODE = 0o600

_DAEMON_QUEUE = re.compile(r"/wimtui\.([0-9]+)\.[0-9a-f]{16}")
_CLIENT_QUEUE = re.compile(r"/wimtui\.([0-9]+)\.c\.([0-9]+)\.([0-9]+)\.[0-9a-f]{8}")


def daemon_queue_name(uid: int, mount_id: str) -> str:
    """The name of the queue that takes the requests for a mount."""
    return f"/wimtui.{uid}.{mount_id}"


def is_daemon_queue_name(name: str, uid: int) -> bool:
    """Whether ``name`` is one that daemon_queue_name() gives for this user."""
    match = _DAEMON_QUEUE.fullmatch(name)
    return match is not None and int(match[1]) == uid


@dataclass(frozen=True, slots=True)
class ClientQueueName:
    """The name of a queue for replies; says which process reads it, so that a dead one shows."""

    uid: int
    pid: int
    started: int
    """Start of that process, in clock ticks after boot."""
    text: str

    @classmethod
    def make(cls) -> ClientQueueName:
        """A random name for a queue of this process."""
        uid, pid = os.geteuid(), os.getpid()
        started = start_ticks(pid) or 0
        text = f"/wimtui.{uid}.c.{pid}.{started}.{secrets.token_hex(4)}"
        return cls(uid, pid, started, text)

    @classmethod
    def parse(cls, text: str) -> ClientQueueName | None:
        """The parts of a name, None if it is not that of a client's queue."""
        match = _CLIENT_QUEUE.fullmatch(text)
        return None if match is None else cls(int(match[1]), int(match[2]), int(match[3]), text)

    def is_reader_running(self) -> bool:
        """Whether the process that made the queue still runs."""
        return is_running(self.pid, self.started)


class _Queue:
    """One open descriptor of a queue."""

    __slots__ = ("_queue", "name")

    def __init__(self, queue: posix_ipc.MessageQueue, name: str) -> None:
        queue.block = False
        self._queue = queue
        self.name = name

    def fileno(self) -> int:
        """The descriptor, for poll and its like."""
        return int(self._queue.mqd)

    def close(self) -> None:
        """Close the descriptor; harmless when done twice."""
        try:
            self._queue.close()
        except posix_ipc.ExistentialError:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ReceiveQueue(_Queue):
    """A queue that this process made and reads; closing it removes it.

    A daemon's queue for requests and a front end's for replies are both of this kind.
    """

    __slots__ = ()

    @classmethod
    def create(cls, name: str, *, writer_uid: int | None = None) -> ReceiveQueue:
        """Make a queue that only its owner and root may use.

        Args:
            name: A name that starts with a slash.
            writer_uid: For root: hand the queue to this user, who is to write to it.

        Raises:
            QueueExistsError: The name is taken.
            QueueLimitError: No further queue is allowed.
            QueueError: The kernel refuses for another cause.
        """
        try:
            queue = posix_ipc.MessageQueue(
                name,
                posix_ipc.O_CREX,
                mode=_QUEUE_MODE,
                max_messages=QUEUE_SLOTS,
                max_message_size=MAX_MESSAGE_NBYTES,
            )
        except (posix_ipc.Error, OSError, ValueError) as error:
            raise _translated(error, name) from error
        made = cls(queue, name)
        if writer_uid is not None and writer_uid != os.geteuid():
            os.fchown(made.fileno(), writer_uid, -1)
        return made

    def receive_nowait(self) -> bytes | None:
        """The oldest message, None if there is none.

        Raises:
            QueueError: The descriptor is closed.
        """
        try:
            message, _priority = self._queue.receive()
        except posix_ipc.BusyError:
            return None
        except (posix_ipc.Error, OSError) as error:
            raise _translated(error, self.name) from error
        return bytes(message)

    def close(self) -> None:
        """Close and remove the queue; harmless when done twice."""
        _Queue.close(self)
        unlink_queue(self.name)


class SendQueue(_Queue):
    """A queue of another process, open for writing."""

    __slots__ = ()

    @classmethod
    def open(cls, name: str) -> SendQueue:
        """Open an existing queue.

        Raises:
            QueueMissingError: There is no such queue.
            QueuePermissionError: It belongs to another user.
            QueueError: The kernel refuses for another cause.
        """
        try:
            queue = posix_ipc.MessageQueue(name, 0, read=False, write=True)
        except (posix_ipc.Error, OSError, ValueError) as error:
            raise _translated(error, name) from error
        return cls(queue, name)

    def try_send(self, message: bytes) -> bool:
        """Send a message; False, at once, if the queue is full.

        Raises:
            QueueError: The message is too large for this queue, or the descriptor is closed.
        """
        try:
            self._queue.send(message)
        except posix_ipc.BusyError:
            return False
        except (posix_ipc.Error, OSError, ValueError) as error:
            raise _translated(error, self.name) from error
        return True

    def is_removed(self) -> bool:
        """Whether the reader has removed the queue, so that nobody will read what is sent."""
        return os.fstat(self.fileno()).st_nlink == 0


def unlink_queue(name: str) -> bool:
    """Remove a queue by name; False if there is none.

    Raises:
        QueuePermissionError: It belongs to another user.
    """
    try:
        posix_ipc.unlink_message_queue(name)
    except posix_ipc.ExistentialError:
        return False
    except (posix_ipc.Error, OSError, ValueError) as error:
        raise _translated(error, name) from error
    return True


def _translated(error: Exception, name: str) -> QueueError:
    """The error of ours for what posix_ipc raised."""
    if isinstance(error, posix_ipc.ExistentialError):
        if "already exists" in str(error):
            return QueueExistsError("the message queue exists already", path=name)
        return QueueMissingError("no such message queue", path=name)
    if isinstance(error, posix_ipc.PermissionsError):
        return QueuePermissionError(
            "the message queue belongs to another user",
            path=name,
            hint="only the user who mounted and root are served",
        )
    if isinstance(error, OSError):
        return _translated_os_error(error, name)
    return QueueError(f"the message queue cannot be used: {error}", path=name)


def _translated_os_error(error: OSError, name: str) -> QueueError:
    # posix_ipc words EMFILE as if it were about files, and leaves errno unset; mq_open mostly means
    # by it that RLIMIT_MSGQUEUE is exceeded.
    if error.errno == errno.EMFILE or "maximum number of files" in str(error):
        if not _can_open_files():
            return QueueLimitError(
                "this process has the maximum number of files open",
                path=name,
                hint="raise RLIMIT_NOFILE (ulimit -n)",
            )
        limit = resource.getrlimit(resource.RLIMIT_MSGQUEUE)[0]
        return QueueLimitError(
            f"this user's message queues fill the {limit} bytes of RLIMIT_MSGQUEUE",
            path=name,
            hint="unmount what is not needed, run 'wimtui mounts' to sweep stale queues, "
            "or raise the limit (ulimit -q)",
        )
    if error.errno == errno.ENOSPC:
        return QueueLimitError(
            "the system has the maximum number of message queues",
            path=name,
            hint="raise fs.mqueue.queues_max",
        )
    if error.errno == errno.ENOSYS:
        return QueueError("this kernel has no POSIX message queues", path=name)
    return QueueError(f"the message queue cannot be used: {error}", path=name)


def _can_open_files() -> bool:
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
