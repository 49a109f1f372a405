"""The daemon's ear: requests from the queue, each answered once; events to whoever subscribed."""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING

import trio

from wimtui import __version__, logs
from wimtui.control.errors import (
    ControlError,
    MessageError,
    ProtocolVersionError,
    os_error_text,
)
from wimtui.control.outbox import Outbox, Outboxes
from wimtui.control.protocol import (
    EndedEvent,
    ErrorReply,
    Event,
    Extension,
    Hello,
    LogLevel,
    OkReply,
    ProgressEvent,
    Reply,
    Request,
    Scalar,
    StateEvent,
    Subscribe,
    Unsubscribe,
)
from wimtui.control.wire import Envelope, decode
from wimtui.daemon.log_events import told_to
from wimtui.engine.errors import WimError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wimtui.control.bulk import BulkFolder
    from wimtui.control.transport import ReceiveQueue

log = logging.getLogger(__name__)

PRUNE_INTERVAL_S = 5.0
"""How often front ends that died without a word are looked for."""

FLUSH_INTERVAL_S = 0.05
"""How often a full queue is tried again."""


LAST_WORDS_S = 5.0
"""How long a daemon that ends waits for the front end that it answers last."""

LISTENERS_S = 1.0
"""How long it waits for all others: one that does not read must not keep an unmount waiting."""


class RequestServer:
    """Answers requests until it is cancelled.

    Attributes:
        requester: Queue name of the front end whose request is being answered.
        request_id: Id of that request.
    """

    def __init__(
        self,
        queue: ReceiveQueue,
        bulk: BulkFolder,
        mount_id: str,
        answer: Callable[[Request, RequestServer], Awaitable[Reply]],
    ) -> None:
        """Serve a queue.

        Args:
            queue: Where requests come in.
            bulk: Where replies go that a queue cannot take.
            mount_id: What ``hello`` answers.
            answer: Answers every request that is not about the connection itself.
        """
        self.outboxes = Outboxes()
        self.requester = ""
        self.request_id = 0
        self._queue = queue
        self._bulk = bulk
        self._mount_id = mount_id
        self._answer = answer
        self._latest: dict[type[Event], Event] = {}
        """State and progress, for those who subscribe in the middle of an operation."""

    async def serve(self) -> None:
        """Answer requests, one after the other; those for lists, which take long, beside them."""
        with told_to(self.outboxes):
            await self._serve()

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver)
            while True:
                await trio.lowlevel.wait_readable(self._queue.fileno())
                while (message := self._queue.receive_nowait()) is not None:
                    await self._take(message, nursery)

    def broadcast(self, event: Event, *, requester: str = "", request_id: int = 0) -> None:
        """Tell all subscribers, and whoever began the operation."""
        if isinstance(event, StateEvent | ProgressEvent):
            self._latest[type(event)] = event
        elif isinstance(event, EndedEvent):
            self._latest.clear()
        self.outboxes.broadcast(event, requester=requester, request_id=request_id)

    async def drain(self, requester: str) -> None:
        """Deliver what waits, for a while: the end of a daemon.

        Whoever asked for that end is given longer than those who only listen.
        """
        began = trio.current_time()
        while waiting := self.outboxes.flush():
            is_asked_for = any(outbox.name == requester for outbox in waiting)
            limit_s = LAST_WORDS_S if is_asked_for else LISTENERS_S
            if trio.current_time() - began >= limit_s:
                return
            self.outboxes.prune()
            await trio.sleep(FLUSH_INTERVAL_S)

    async def _deliver(self) -> None:
        pruned = -math.inf
        while True:
            self.outboxes.flush()
            if trio.current_time() - pruned >= PRUNE_INTERVAL_S:
                self.outboxes.prune()
                pruned = trio.current_time()
            waiting = any(outbox.wants_write for outbox in self.outboxes)
            await trio.sleep(FLUSH_INTERVAL_S if waiting else PRUNE_INTERVAL_S / 10)

    async def _take(self, message: bytes, nursery: trio.Nursery) -> None:
        try:
            envelope = decode(message)
        except MessageError as error:
            log.warning("a request that makes no sense: %s", error)
            if error.reply_to and (outbox := self.outboxes.open(error.reply_to)) is not None:
                name = "version" if isinstance(error, ProtocolVersionError) else "malformed"
                failure = ErrorReply(code=error.code, text=error.message, name=name)
                self._send(outbox, failure, error.request_id)
            return
        outbox = self.outboxes.open(envelope.reply_to)
        if outbox is None or not isinstance(envelope.message, Request):
            return
        if isinstance(envelope.message, Extension):
            nursery.start_soon(self._answer_to, envelope, outbox)
            return
        self.requester, self.request_id = envelope.reply_to, envelope.request_id
        await self._answer_to(envelope, outbox)
        if isinstance(envelope.message, Unsubscribe):
            self.outboxes.drop(envelope.reply_to)
        if isinstance(envelope.message, Subscribe):
            for event in self._latest.values():
                if outbox.progress or not isinstance(event, ProgressEvent):
                    outbox.put(event)

    async def _answer_to(self, envelope: Envelope, outbox: Outbox) -> None:
        self._send(outbox, await self._reply_to(envelope, outbox), envelope.request_id)

    def _send(self, outbox: Outbox, reply: Reply, request_id: int) -> None:
        """Answer, or give the front end up: a queue or disk that fails must not end a mount."""
        try:
            outbox.put(self._bulk.fit(reply), request_id)
        except ControlError as error:
            log.warning("%s cannot be answered: %s", outbox.name, error)
            self.outboxes.drop(outbox.name)

    async def _reply_to(self, envelope: Envelope, outbox: Outbox) -> Reply:
        request = envelope.message
        log.debug("request %d: %r", envelope.request_id, request)
        match request:
            case Hello():
                data: dict[str, Scalar] = {
                    "wimtui_version": __version__,
                    "mount_id": self._mount_id,
                    "pid": os.getpid(),
                }
                return OkReply(data=data)
            case Subscribe(progress=progress, log_level=level):
                outbox.subscribed, outbox.progress = True, progress
                outbox.log_level = logging.getLevelNamesMapping().get(level)
                return OkReply()
            case Unsubscribe():
                return OkReply()
            case LogLevel(level=level):
                try:
                    logs.set_file_level(level)
                except ValueError:
                    return ErrorReply(code=24, text=f"no log level {level!r}", name="level")
                return OkReply()
            case Request():
                return await self._guarded(request)
        raise AssertionError(request)

    async def _guarded(self, request: Request) -> Reply:
        try:
            return await self._answer(request, self)
        except (WimError, ControlError) as error:
            return ErrorReply(code=error.code, text=str(error), name=type(error).__name__)
        except OSError as error:
            return ErrorReply(code=100, text=os_error_text(error), name="OSError")
