"""How long work says how far it is, and how it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from wimtui.engine.errors import CancelledError


class Phase(StrEnum):
    """What a long operation is doing."""

    READ = "read"
    VERIFY = "verify"
    SCAN = "scan"
    HASH = "hash"
    WRITE = "write"
    METADATA = "metadata"
    INTEGRITY = "integrity"
    SYNC = "sync"
    EXTRACT = "extract"


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of a long operation. Totals of 0 mean "not known yet"."""

    phase: Phase
    bytes_done: int = 0
    bytes_total: int = 0
    items_done: int = 0
    items_total: int = 0
    path: str = ""


ProgressSink = Callable[[Progress], None]
"""Takes a Progress from any thread; must return at once."""


class CancelToken:
    """A request to stop, made in one thread and noticed in another."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the operation to stop at the next place where it can."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise CancelledError if a stop was asked for."""
        if self._event.is_set():
            raise CancelledError("cancelled")
