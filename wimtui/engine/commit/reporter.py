"""Counts what is done and tells the listener, not more often than an eye can see."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from wimtui.engine.progress import Progress

if TYPE_CHECKING:
    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.progress import CancelToken, Phase, ProgressSink

_INTERVAL_S = 0.05


class Reporter:
    """Progress of one operation, phase by phase; used by one thread.

    Attributes:
        sink: The listener, for what reports on its own.
        cancel: The request to stop.
    """

    def __init__(self, sink: ProgressSink | None, cancel: CancelToken | None) -> None:
        self.sink = sink
        self.cancel = cancel
        self._now: Progress | None = None
        self._told_at = 0.0
        self._source: BlobSource | None = None

    def begin(self, phase: Phase, bytes_total: int = 0, items_total: int = 0) -> None:
        """Enter a phase. Raises CancelledError."""
        self.check()
        self._now = Progress(phase, 0, bytes_total, 0, items_total)
        self._source = None
        self._tell()

    def advance(self, nbytes: int = 0, items: int = 0, source: BlobSource | None = None) -> None:
        """Count what was done, last of all with ``source``."""
        now = self._now
        assert now is not None
        self._now = Progress(
            now.phase,
            now.bytes_done + nbytes,
            now.bytes_total,
            now.items_done + items,
            now.items_total,
        )
        self._source = source or self._source
        if time.monotonic() - self._told_at >= _INTERVAL_S:
            self._tell()

    def on_bytes(self, nbytes: int, source: BlobSource) -> None:
        """Count bytes only."""
        self.advance(nbytes, 0, source)

    def finish(self) -> None:
        """Tell how the phase ended."""
        self._tell()

    def check(self) -> None:
        """Raise CancelledError if a stop was asked for."""
        if self.cancel is not None:
            self.cancel.check()

    def _tell(self) -> None:
        if self.sink is not None and self._now is not None:
            path = "" if self._source is None else self._source.shown_path()
            self.sink(replace(self._now, path=path))
            self._told_at = time.monotonic()
