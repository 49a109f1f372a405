"""What a daemon has to tell each front end, kept until its queue takes it; nothing here blocks.

Progress and log records are dropped when the queue is full, except that the latest progress of each
phase is kept for when it is writable again. Replies, states and the ends of operations are never
dropped.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.control.errors import ControlError, QueueError
from wimtui.control.protocol import Event, LogEvent, ProgressEvent, Reply, StateEvent
from wimtui.control.transport import ClientQueueName, SendQueue, unlink_queue
from wimtui.control.wire import Envelope, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

MAX_BACKLOG = 256
"""Undelivered messages after which a front end counts as gone: it asks and never reads."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    encoded: bytes
    replaced_by: tuple[type[Event], str] | None
    """A later event of this type, and of this phase, makes this one pointless."""


class Outbox:
    """The way to one front end.

    Attributes:
        name: Its queue.
        subscribed: Whether it wants all events, not only those of operations it began.
        progress: Whether it wants progress.
        log_level: The lowest level of log records it wants, as in logging; None for no records.
    """

    __slots__ = ("_queue", "_seq", "_waiting", "log_level", "name", "progress", "subscribed")

    def __init__(self, queue: SendQueue) -> None:
        self.name = queue.name
        self.subscribed = False
        self.progress = True
        self.log_level: int | None = None
        self._queue = queue
        self._seq = 0
        self._waiting: deque[_Waiting] = deque()

    def fileno(self) -> int:
        """The queue's descriptor: poll it for writing while wants_write."""
        return self._queue.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether something waits for the queue to become writable."""
        return bool(self._waiting)

    @property
    def backlog(self) -> int:
        """Number of messages that wait."""
        return len(self._waiting)

    def put(self, message: Reply | Event, request_id: int = 0) -> None:
        """Send a message now, or keep or drop it, by its kind.

        Raises:
            MessageTooLargeError: It does not fit; replies go through BulkFolder.fit() first.
        """
        if isinstance(message, Event):
            self._seq += 1
        seq = self._seq if isinstance(message, Event) else 0
        encoded = encode(Envelope(message, request_id, seq))
        if self.flush() and self._queue.try_send(encoded):
            return
        if isinstance(message, LogEvent):
            return
        kind: tuple[type[Event], str] | None = None
        if isinstance(message, ProgressEvent):
            kind = (ProgressEvent, message.phase)
        elif isinstance(message, StateEvent):
            kind = (StateEvent, "")
        if kind is not None:
            self._waiting = deque(one for one in self._waiting if one.replaced_by != kind)
        self._waiting.append(_Waiting(encoded, kind))

    def flush(self) -> bool:
        """Send what waits, as far as the queue takes it; whether nothing waits any more."""
        while self._waiting:
            if not self._queue.try_send(self._waiting[0].encoded):
                return False
            self._waiting.popleft()
        return True

    def is_gone(self) -> bool:
        """Whether nobody will read this queue again."""
        if self._queue.is_removed() or self.backlog > MAX_BACKLOG:
            return True
        name = ClientQueueName.parse(self.name)
        return name is not None and not name.is_reader_running()

    def close(self) -> None:
        """Close the queue, and remove it if its reader is gone without having done so."""
        name = ClientQueueName.parse(self.name)
        if name is not None and not name.is_reader_running():
            with contextlib.suppress(QueueError):
                unlink_queue(self.name)
        self._queue.close()


class Outboxes:
    """All front ends of one daemon."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, Outbox] = {}

    def __iter__(self) -> Iterator[Outbox]:
        return iter(tuple(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def open(self, reply_to: str) -> Outbox | None:
        """The outbox for a queue name; None, and a log record, if there is no such front end."""
        if (known := self._by_name.get(reply_to)) is not None:
            return known
        if ClientQueueName.parse(reply_to) is None:
            log.warning("a request wants its answer in %.80r, which is no queue of ours", reply_to)
            return None
        try:
            queue = SendQueue.open(reply_to)
        except QueueError as error:
            log.info("cannot answer: %s", error)
            return None
        self._by_name[reply_to] = Outbox(queue)
        return self._by_name[reply_to]

    def broadcast(
        self, event: Event, *, requester: str = "", request_id: int = 0, log_level: int = 0
    ) -> None:
        """Tell all subscribers, and the front end whose request it is about.

        Args:
            event: What happened.
            requester: The queue name of the front end that began the operation, if one did.
            request_id: Its request; the other front ends get 0.
            log_level: The level of a LogEvent, as in logging.
        """
        for outbox in tuple(self._by_name.values()):
            own = outbox.name == requester
            if not (own or outbox.subscribed) or not _is_wanted(outbox, event, log_level):
                continue
            try:
                outbox.put(event, request_id if own else 0)
            except ControlError as error:
                log.warning("front end %s is given up: %s", outbox.name, error)
                self.drop(outbox.name)

    def flush(self) -> tuple[Outbox, ...]:
        """Send what waits; returns the outboxes that still wait for their queue."""
        return tuple(one for one in tuple(self._by_name.values()) if not self._flushed(one))

    def _flushed(self, outbox: Outbox) -> bool:
        try:
            return outbox.flush()
        except QueueError as error:
            log.warning("front end %s is given up: %s", outbox.name, error)
            self.drop(outbox.name)
            return True

    def prune(self) -> None:
        """Drop front ends that are gone. To be called now and then."""
        for outbox in tuple(self._by_name.values()):
            if outbox.is_gone():
                log.debug("front end %s is gone, %d messages late", outbox.name, outbox.backlog)
                self.drop(outbox.name)

    def drop(self, reply_to: str) -> None:
        """Forget a front end."""
        outbox = self._by_name.pop(reply_to, None)
        if outbox is not None:
            outbox.close()

    def close(self) -> None:
        """Forget all front ends."""
        for name in tuple(self._by_name):
            self.drop(name)


def _is_wanted(outbox: Outbox, event: Event, log_level: int) -> bool:
    if isinstance(event, ProgressEvent):
        return outbox.progress
    if isinstance(event, LogEvent):
        return outbox.log_level is not None and log_level >= outbox.log_level
    return True
