"""A front end's connection to one mount daemon."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from wimtui.control.bulk import take_bulk
from wimtui.control.client_queues import ClientQueue
from wimtui.control.errors import (
    ControlError,
    ControlTimeoutError,
    DaemonGoneError,
    MessageError,
    QueueMissingError,
    RemoteError,
)
from wimtui.control.processes import ProcessWatch
from wimtui.control.protocol import Cancel, EndedEvent, ErrorReply, Event, Reply
from wimtui.control.registry_entry import bulk_folder
from wimtui.control.transport import SendQueue, is_daemon_queue_name
from wimtui.control.wire import Envelope, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from wimtui.control.protocol import Request
    from wimtui.control.registry import MountRecord

log = logging.getLogger(__name__)

REPLY_S = 10.0
"""Seconds a daemon has for a reply; it replies before it begins anything long."""

_LOCK_CHECK_S = 0.25
_CANCEL_CHECK_S = 0.1


class DaemonClient:
    """Asks one daemon and takes its events; leaves no queue behind when closed.

    For one thread at a time. Only interrupt() may be called from another.
    """

    def __init__(self, record: MountRecord) -> None:
        """Connect to the daemon of a mount.

        Raises:
            DaemonGoneError: It does not run, or cannot be reached from here.
            QueueError: A queue cannot be made or opened.
        """
        self._record = record
        entry = record.entry
        if not record.alive or not is_daemon_queue_name(entry.queue_name, entry.uid):
            raise self._gone()
        self._request_id = 0
        self._events: deque[Envelope] = deque()
        with contextlib.ExitStack() as undo:
            self._requests = undo.enter_context(self._open_requests())
            own = ClientQueue.create(writer_uid=entry.uid)
            undo.callback(own.close)
            self._replies = own.queue
            self._watch = ProcessWatch(entry.pid, entry.process_started)
            undo.callback(self._watch.close)
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            undo.callback(os.close, self._wake)
            self._undo = undo.pop_all()

    def fileno(self) -> int:
        """A descriptor for event loops: when it is readable, take receive_nowait() until None."""
        return self._replies.fileno()

    def request(self, message: Request, timeout_s: float = REPLY_S) -> Reply:
        """Ask, and wait for the reply. Events that come first are kept for events().

        A reply that was too large for a queue is returned in full. One that names a bulk file is
        returned as it is; read_bulk() gets the file.

        Raises:
            RemoteError: The daemon answered with an error.
            ControlTimeoutError: It did not answer in time.
            DaemonGoneError: It ended first.
        """
        deadline = time.monotonic() + timeout_s
        self._request_id += 1
        envelope = Envelope(message, self._request_id, reply_to=self._replies.name)
        self._send(encode(envelope), deadline)
        while True:
            answer = self._receive(deadline)
            if answer is None and time.monotonic() < deadline:
                raise _interrupted(message)
            if answer is None:
                raise self._timed_out(f"did not answer {message.TYPE!r}", timeout_s)
            if isinstance(answer.message, Reply) and answer.request_id == self._request_id:
                return self._unwrapped(answer.message)
            if isinstance(answer.message, Event):
                self._events.append(answer)

    @property
    def last_request_id(self) -> int:
        """The id of the latest request, which events about the operation it began bear."""
        return self._request_id

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Events as they come, until interrupt() or until none has come for ``timeout_s``.

        Raises:
            DaemonGoneError: The daemon ended, and what it had sent before has been taken.
        """
        while True:
            deadline = None if timeout_s is None else time.monotonic() + timeout_s
            envelope = self._events.popleft() if self._events else self._receive(deadline)
            if envelope is None:
                return
            if isinstance(envelope.message, Event):
                yield envelope.message

    def run(
        self,
        message: Request,
        on_event: Callable[[Event], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> EndedEvent:
        """Ask for a commit or an unmount and wait, without limit, until it is over.

        The wait ends when the daemon does; a KeyboardInterrupt leaves the operation running.

        Args:
            message: The request.
            on_event: Called with the events that come meanwhile.
            is_cancelled: Asked several times a second; the daemon is told to stop once it is true.

        Raises:
            RemoteError: The daemon refused to begin.
            DaemonGoneError: It ended before it said how the operation ended.
            ControlTimeoutError: It did not answer the request, or interrupt() was called.
        """
        self.request(message)
        operation_id = self._request_id
        while True:
            if is_cancelled is not None and is_cancelled():
                is_cancelled = None
                self.request(Cancel(operation_id))
            deadline = None if is_cancelled is None else time.monotonic() + _CANCEL_CHECK_S
            envelope = self._events.popleft() if self._events else self._receive(deadline)
            if envelope is None and deadline is not None and time.monotonic() >= deadline:
                continue
            if envelope is None:
                raise _interrupted(message)
            event = envelope.message
            if isinstance(event, Event) and on_event is not None:
                on_event(event)
            if isinstance(event, EndedEvent) and envelope.request_id == operation_id:
                return event

    def receive_nowait(self) -> Event | None:
        """The next event, None if there is none; for use with fileno()."""
        while True:
            envelope = self._events.popleft() if self._events else self._next_message()
            if envelope is None:
                return None
            if isinstance(envelope.message, Event):
                return envelope.message

    def read_bulk(self, reply: Reply) -> bytes:
        """The bulk file that a reply names, which is then deleted; empty if it names none.

        Raises:
            ControlError: The file is not there or not the daemon's.
        """
        if not reply.bulk_path:
            return b""
        record = self._record
        if record.runtime is None:
            raise self._gone()
        folder = bulk_folder(record.runtime, record.entry.mount_id)
        return take_bulk(reply.bulk_path, folder, record.entry.uid)

    def interrupt(self) -> None:
        """Make a wait in another thread return at once, or else the next one here."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Remove the queue; harmless when done twice."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open_requests(self) -> SendQueue:
        try:
            return SendQueue.open(self._record.entry.queue_name)
        except QueueMissingError as error:
            raise DaemonGoneError(
                "the mount's daemon runs and its message queue is not there",
                path=self._record.entry.mount_point,
                hint="it is just starting or ending, or runs in a container of its own",
            ) from error

    def _send(self, encoded: bytes, deadline: float) -> None:
        while not self._requests.try_send(encoded):
            if not self._wait(self._requests.fileno(), select.POLLOUT, deadline):
                raise self._timed_out("takes no requests", REPLY_S)

    def _receive(self, deadline: float | None) -> Envelope | None:
        """The next message; None at the deadline or after interrupt()."""
        while (envelope := self._next_message()) is None:
            try:
                if not self._wait(self._replies.fileno(), select.POLLIN, deadline):
                    return None
            except DaemonGoneError:
                # Its last words may have come between our look and its end.
                if (envelope := self._next_message()) is not None:
                    return envelope
                raise
        return envelope

    def _next_message(self) -> Envelope | None:
        while (encoded := self._replies.receive_nowait()) is not None:
            try:
                return decode(encoded)
            except MessageError as error:
                log.warning("ignored a message of daemon %d: %s", self._record.entry.pid, error)
        return None

    def _wait(self, descriptor: int, event: int, deadline: float | None) -> bool:
        """Wait until a queue is ready; False at the deadline or after interrupt()."""
        poll = select.poll()
        poll.register(descriptor, event)
        poll.register(self._wake, select.POLLIN)
        watched = self._watch.fileno()
        if watched is not None:
            poll.register(watched, select.POLLIN)
        while True:
            left = _LOCK_CHECK_S if deadline is None else deadline - time.monotonic()
            ready = [fd for fd, _ in poll.poll(1000 * max(0.0, min(left, _LOCK_CHECK_S)))]
            if self._wake in ready:
                os.eventfd_read(self._wake)
                return False
            if descriptor in ready:
                return True
            if watched in ready or (watched is None and not self._holds_lock()):
                raise self._gone()
            if left <= 0:
                return False

    def _holds_lock(self) -> bool:
        folder = self._record.folder
        found = None if folder is None else folder.find(self._record.entry.mount_id)
        return found is not None and found.alive

    def _unwrapped(self, reply: Reply) -> Reply:
        if isinstance(reply, ErrorReply):
            raise RemoteError(reply.code, reply.text, hint=reply.hint, name=reply.name)
        if not reply.spilled:
            return reply
        whole = decode(self.read_bulk(reply)).message
        if not isinstance(whole, type(reply)):
            raise ControlError("the daemon's bulk file holds another reply", path=reply.bulk_path)
        return whole

    def _gone(self) -> DaemonGoneError:
        return DaemonGoneError(
            "the mount's daemon is gone",
            path=self._record.entry.mount_point,
            hint="'wimtui mounts' tells what is left of the mount",
        )

    def _timed_out(self, what: str, timeout_s: float) -> ControlTimeoutError:
        return ControlTimeoutError(
            f"the mount's daemon (process {self._record.entry.pid}) {what} within {timeout_s:g} s",
            path=self._record.entry.mount_point,
        )


def _interrupted(message: Request) -> ControlTimeoutError:
    return ControlTimeoutError(f"the wait for {message.TYPE!r} was interrupted")
