"""Whether a process still runs, told apart from a later one with the same number."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_AFTER_NAME_START_TICKS = 19
"""Index of starttime, field 22 of /proc/PID/stat, among the fields after the name."""


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold anything, parentheses included.
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _AFTER_NAME_START_TICKS or fields[0] in "ZX":
        return None
    return int(fields[_AFTER_NAME_START_TICKS])


def is_running(pid: int, started: int) -> bool:
    """Whether the process ``pid`` that started at ``started`` ticks still runs."""
    return start_ticks(pid) == started


class ProcessWatch:
    """A descriptor that becomes readable when a process ends.

    There is none, and fileno() is None, for a process that is gone, that is not the one meant, or
    that lives in another PID namespace.
    """

    __slots__ = ("_descriptor",)

    def __init__(self, pid: int, started: int) -> None:
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            self._descriptor = os.pidfd_open(pid)
        if not is_running(pid, started):
            self.close()

    def fileno(self) -> int | None:
        """The descriptor to poll, None if there is nothing to watch."""
        return self._descriptor

    def close(self) -> None:
        """Stop watching; harmless when done twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
