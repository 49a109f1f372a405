"""What the daemon logs, told to the front ends that want to read it."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import trio

from wimtui.control.protocol import LogEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.control.outbox import Outboxes

_LOGGER: Final = "wimtui"


class _Broadcast(logging.Handler):
    """Hands records of any thread to the loop, which alone may touch outboxes."""

    def __init__(self, outboxes: Outboxes, token: trio.lowlevel.TrioToken) -> None:
        super().__init__(logging.INFO)
        self._outboxes = outboxes
        self._token = token

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        event = LogEvent(level=record.levelname, logger=record.name, text=text)
        # The loop may have ended: threads that answer the kernel outlive it by a moment.
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._tell, event, record.levelno)

    def _tell(self, event: LogEvent, level: int) -> None:
        self._outboxes.broadcast(event, log_level=level)


@contextmanager
def told_to(outboxes: Outboxes) -> Iterator[None]:
    """Broadcast what is logged inside, from INFO up; to be entered on the loop's thread."""
    handler = _Broadcast(outboxes, trio.lowlevel.current_trio_token())
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
