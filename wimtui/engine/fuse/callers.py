"""Whether the process that waits for an answer has been told to stop."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Final

from wimtui.engine.progress import CancelToken

_STOPPING: Final = sum(
    1 << (number - 1)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL)
)
"""As /proc shows sets of signals: bit n-1 for signal n."""

_LOOK_INTERVAL_S: Final = 0.05


def wants_to_stop(thread_id: int) -> bool:
    """Whether a thread has a signal waiting that asks it to end; False if it cannot be seen.

    pyfuse3 does not pass on the kernel's INTERRUPT, and a process stays in its system call until
    it is answered, kill -9 or not. What waits for it shows in /proc.
    """
    try:
        text = Path(f"/proc/{thread_id}/status").read_text("ascii", "replace")
    except OSError:
        return False
    sets = {"SigPnd": 0, "ShdPnd": 0, "SigBlk": 0, "SigIgn": 0}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in sets:
            sets[name] = int(value, 16)
    waiting = sets["SigPnd"] | sets["ShdPnd"]
    return bool(waiting & _STOPPING & ~sets["SigBlk"] & ~sets["SigIgn"])


class CallerToken(CancelToken):
    """Cancelled by a call, and by the end of the process that the work is done for."""

    __slots__ = ("_looked", "_thread_id")

    def __init__(self, thread_id: int) -> None:
        """Watch a thread; 0 stands for nobody."""
        super().__init__()
        self._thread_id = thread_id
        self._looked = time.monotonic()

    def check(self) -> None:
        """Raise CancelledError if a stop was asked for; looks at the caller 20 times a second."""
        now = time.monotonic()
        if self._thread_id and now - self._looked >= _LOOK_INTERVAL_S:
            self._looked = now
            if wants_to_stop(self._thread_id):
                self.cancel()
        super().check()
