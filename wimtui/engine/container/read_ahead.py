"""Decoding ahead of a reader that goes through a resource from front to back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from wimtui.engine.container.chunk_loader import BATCH_NBYTES

if TYPE_CHECKING:
    from wimtui.engine.container.chunk_loader import ChunkLoader
    from wimtui.engine.container.resource_reader import ChunkedResource

_WINDOW_NBYTES = 1 << 21
"""How far ahead of the reader to decode."""

_SLACK_NBYTES = 1 << 20
"""How far a sequential read may be from the end of the last: kernels read out of order."""

_LONG_CHUNK_FRACTION = 4
"""Of chunks over 8 MiB the next one is decoded once the reader is in the last quarter."""

_LONG_STREAK = 8
"""Reads in a row after which a reader is taken for one that copies the whole."""


class ReadAhead:
    """Watches the reads of one resource and has the next chunks decoded on other threads.

    All positions are offsets in the resource. Safe between threads: races cost a chunk decoded
    early or late.
    """

    __slots__ = (
        "_first_wanted",
        "_generation",
        "_last_chunk",
        "_loader",
        "_lock",
        "_lookahead",
        "_position",
        "_resource",
        "_scheduled",
        "_step",
        "_streak",
    )

    def __init__(
        self, loader: ChunkLoader, resource: ChunkedResource, position: int, last_chunk: int
    ) -> None:
        """Watch from ``position`` on and never decode beyond ``last_chunk``."""
        self._loader = loader
        self._resource = resource
        self._position = position
        self._last_chunk = last_chunk
        self._lookahead = max(_WINDOW_NBYTES, resource.chunk_size // _LONG_CHUNK_FRACTION)
        self._step = max(1, BATCH_NBYTES >> resource.chunk_shift)
        self._streak = 0
        self._scheduled = -1
        self._generation = 0
        self._first_wanted = 0
        self._lock = threading.Lock()

    def note(self, start: int, stop: int) -> None:
        """Take notice of a read from ``start`` to ``stop``."""
        if -_SLACK_NBYTES <= start - self._position <= _SLACK_NBYTES:
            self._streak += 1
        elif self._streak:
            self.drop()
        self._position = stop
        if self._streak < 2:
            return
        target = (stop + self._lookahead) >> self._resource.chunk_shift
        if target >= self._last_chunk:
            target = self._last_chunk
            if target > self._scheduled:
                self._schedule(stop, target)
        elif target - self._scheduled >= self._step:
            self._schedule(stop, target)

    @property
    def is_long(self) -> bool:
        """Whether the reader has gone from front to back for a while."""
        return self._streak >= _LONG_STREAK

    def is_scheduled(self, chunk: int) -> bool:
        """Return whether the chunk was handed to other threads."""
        return chunk <= self._scheduled and self._streak >= 2

    def pass_by(self, chunk: int) -> None:
        """Take notice that the reader has had all before ``chunk`` and will not come back."""
        self._first_wanted = chunk

    def drop(self) -> None:
        """Forget what was scheduled and has not begun."""
        with self._lock:
            self._first_wanted = 0
            self._generation += 1
            self._scheduled = -1
            self._streak = 0

    def _schedule(self, stop: int, target: int) -> None:
        resource = self._resource
        with self._lock:
            first = max(self._scheduled, (stop - 1) >> resource.chunk_shift) + 1
            self._scheduled = max(self._scheduled, target)
            generation = self._generation
        while first <= target and self._loader.cache.has(resource.key, first):
            first += 1
        if first <= target:
            self._loader.prefetch(
                resource,
                first,
                target,
                lambda: (
                    self._first_wanted if self._generation == generation else resource.chunk_count
                ),
            )
