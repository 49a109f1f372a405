"""Decoded chunks, shared by all readers of a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from wimtui.engine.errors import CorruptResourceError

DEFAULT_CAPACITY = 256 << 20

_KEPT_ERRORS = 256

ResourceKey = tuple[int, int]
"""Number of the open file, and offset of the resource in it."""

_Key = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """Counters of a cache since it was made."""

    hits: int
    """Chunks answered from memory."""

    misses: int
    """Chunks decoded."""

    chunks: int
    nbytes: int
    capacity: int


class PendingChunk:
    """A chunk that some thread is decoding."""

    __slots__ = ("_latch", "data", "error")

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.error: Exception | None = None
        self._latch = threading.Lock()
        self._latch.acquire()

    def wait(self) -> bytes | None:
        """Wait for the chunk.

        Returns:
            Its bytes, or None where the thread gave up without deciding anything: ask again.

        Raises:
            WimError: What the decoding thread met.
        """
        with self._latch:
            pass
        if self.error is not None:
            raise self.error
        return self.data

    def settle(self) -> None:
        """Let the waiting threads go on."""
        self._latch.release()


class Claim(NamedTuple):
    """What a cache knows of a run of chunks."""

    chunks: list[bytes | PendingChunk]
    """One for each chunk: its bytes, or where somebody (perhaps the caller) decodes it."""

    mine: list[int]
    """Positions in ``chunks`` that the caller must decode: ``fulfil`` or ``abandon`` each."""


class ChunkCache:
    """Decoded chunks, the least recently used dropped first; safe between threads.

    A chunk is decoded once however many threads ask for it: the first one claims it, the others
    wait for the outcome. Errors reach all who wait, and are kept only where decoding again is
    dear and ends the same way.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        """Hold at most ``capacity`` bytes, or one chunk where that is larger."""
        self.capacity = capacity
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, bytes] = OrderedDict()
        self._pending: dict[_Key, PendingChunk] = {}
        self._corrupt: OrderedDict[_Key, CorruptResourceError] = OrderedDict()
        self._nbytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, resource: ResourceKey, chunk: int) -> bytes | None:
        """Return a chunk that is in memory, or None."""
        key = (*resource, chunk)
        with self._lock:
            data = self._entries.get(key)
            if data is not None:
                self._entries.move_to_end(key)
                self._hits += 1
        return data

    def get_run(self, resource: ResourceKey, first: int, last: int) -> list[bytes] | None:
        """Return chunks ``first`` to ``last`` (inclusive) if all are in memory, else None."""
        file, offset = resource
        found = []
        with self._lock:
            entries = self._entries
            for chunk in range(first, last + 1):
                data = entries.get((file, offset, chunk))
                if data is None:
                    return None
                found.append(data)
            for chunk in range(first, last + 1):
                entries.move_to_end((file, offset, chunk))
            self._hits += len(found)
        return found

    def is_pending(self, resource: ResourceKey, chunk: int) -> bool:
        """Return whether some thread is decoding the chunk."""
        return (*resource, chunk) in self._pending

    def has(self, resource: ResourceKey, chunk: int) -> bool:
        """Return whether the chunk is in memory or being decoded; counts as no use of it."""
        key = (*resource, chunk)
        return key in self._entries or key in self._pending

    def claim(self, resource: ResourceKey, first: int, last: int) -> Claim:
        """Look up chunks ``first`` to ``last`` and claim those that nobody has or decodes."""
        file, offset = resource
        chunks: list[bytes | PendingChunk] = []
        mine: list[int] = []
        with self._lock:
            for chunk in range(first, last + 1):
                key = (file, offset, chunk)
                data = self._entries.get(key)
                if data is not None:
                    self._entries.move_to_end(key)
                    chunks.append(data)
                    self._hits += 1
                    continue
                pending = self._pending.get(key) or self._failed(key)
                if pending is None:
                    pending = self._pending[key] = PendingChunk()
                    mine.append(chunk - first)
                    self._misses += 1
                chunks.append(pending)
        return Claim(chunks, mine)

    def _failed(self, key: _Key) -> PendingChunk | None:
        """Return a settled chunk with the error that is kept for it, or None."""
        known = self._corrupt.get(key)
        if known is None:
            return None
        failed = PendingChunk()
        failed.error = _without_traceback(known)
        failed.settle()
        return failed

    def keep_error(self, resource: ResourceKey, chunk: int, error: CorruptResourceError) -> None:
        """Answer later claims of a chunk with this error, until 256 others fail."""
        key = (*resource, chunk)
        with self._lock:
            self._corrupt[key] = _without_traceback(error)
            if len(self._corrupt) > _KEPT_ERRORS:
                self._corrupt.popitem(last=False)

    def claim_one(self, resource: ResourceKey, chunk: int) -> PendingChunk | None:
        """Claim one chunk that is not in memory; None where another thread decodes it."""
        key = (*resource, chunk)
        with self._lock:
            if key in self._pending or key in self._entries:
                return None
            pending = self._pending[key] = PendingChunk()
            self._misses += 1
        return pending

    def fulfil(self, resource: ResourceKey, chunk: int, pending: PendingChunk, data: bytes) -> None:
        """Store a claimed chunk and hand it to those who wait."""
        key = (*resource, chunk)
        pending.data = data
        with self._lock:
            del self._pending[key]
            self._entries[key] = data
            self._nbytes += len(data)
            while self._nbytes > self.capacity and len(self._entries) > 1:
                _, dropped = self._entries.popitem(last=False)
                self._nbytes -= len(dropped)
        pending.settle()

    def abandon(
        self,
        resource: ResourceKey,
        chunk: int,
        pending: PendingChunk,
        error: Exception | None = None,
    ) -> None:
        """Give back a claimed chunk; ``error`` reaches those who wait, without one they retry."""
        pending.error = error
        with self._lock:
            del self._pending[(*resource, chunk)]
        pending.settle()

    def discard(self, resource: ResourceKey, first: int, last: int) -> None:
        """Drop chunks ``first`` to ``last`` (inclusive), those that are in memory."""
        file, offset = resource
        with self._lock:
            for chunk in range(first, last + 1):
                data = self._entries.pop((file, offset, chunk), None)
                if data is not None:
                    self._nbytes -= len(data)

    def forget_file(self, file_number: int) -> None:
        """Drop all chunks of one file, and the errors kept for it."""
        with self._lock:
            for key in [key for key in self._corrupt if key[0] == file_number]:
                del self._corrupt[key]
            for key in [key for key in self._entries if key[0] == file_number]:
                self._nbytes -= len(self._entries.pop(key))

    def status(self) -> CacheStatus:
        """Return the counters."""
        with self._lock:
            return CacheStatus(
                self._hits, self._misses, len(self._entries), self._nbytes, self.capacity
            )


def _without_traceback(error: CorruptResourceError) -> CorruptResourceError:
    """Return an equal error: a traceback would keep the stored bytes of the chunk."""
    return CorruptResourceError(
        error.message,
        path=error.path,
        structure=error.structure,
        offset_in_file=error.offset_in_file,
        hint=error.hint,
    )
