"""What handlers do with errors: a number for the kernel, at most one line for the log."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from pyfuse3 import FUSEError

from wimtui.engine.errors import NodeError, WimError
from wimtui.engine.fuse.errno_map import errno_of

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

QUIET_SECONDS: Final = 60.0
"""How long the same text is not logged again: one bad chunk is asked for by every read-ahead."""

LINES_A_PERIOD: Final = 100
"""How many different texts are logged in ``QUIET_SECONDS``; a scrubbed disk has thousands."""


class LogLimit:
    """Lets each text through once a period, and only so many texts a period."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._period_start = clock()
        self._seen: set[str] = set()
        self.suppressed = 0
        """Lines held back since the mount began."""

    def allows(self, text: str) -> bool:
        """Say whether a line may be written, and remember that it was."""
        now = self._clock()
        if now - self._period_start >= QUIET_SECONDS:
            self._period_start = now
            self._seen.clear()
        if text in self._seen or len(self._seen) >= LINES_A_PERIOD:
            self.suppressed += 1
            return False
        self._seen.add(text)
        return True


class Failures:
    """Turns whatever a handler raised into the FUSEError that pyfuse3 understands.

    pyfuse3 ends its loop, and with it the mount, on any other exception.
    """

    def __init__(self, limit: LogLimit | None = None) -> None:
        self._limit = LogLimit() if limit is None else limit
        self.data_errors = 0
        """Answers that were an error about the archive rather than about the request."""
        self.bugs = 0
        """Exceptions nobody planned."""

    def translate(self, operation: str, error: Exception) -> FUSEError:
        """Return the answer to the kernel, and log what deserves it.

        A ``NodeError`` is an ordinary answer (no such name) and leaves no trace. Corrupt or
        unreadable data is one WARNING line with the error's own text. Anything else is a bug in
        this program: an ERROR with its traceback, and EIO.
        """
        if isinstance(error, NodeError):
            return FUSEError(errno_of(error))
        number = errno_of(error)
        if isinstance(error, WimError | OSError):
            self.data_errors += 1
            text = f"{operation}: {error}"
            if self._limit.allows(text):
                log.warning("%s", text)
        else:
            self.bugs += 1
            if self._limit.allows(f"{operation}: {error!r}"):
                log.error("%s failed unexpectedly", operation, exc_info=error)
        return FUSEError(number)
