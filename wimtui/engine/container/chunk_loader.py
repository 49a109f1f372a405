"""Chunks on demand: the cache, the decoders, and the threads that decode ahead."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Self, TypeVar

from wimtui.engine.codecs.factory import DecompressorPool
from wimtui.engine.container.chunk_cache import ChunkCache, Claim, PendingChunk
from wimtui.engine.errors import CorruptResourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

    from wimtui.engine.container.resource_reader import ChunkedResource

T = TypeVar("T")

BATCH_NBYTES = 1 << 18
"""Uncompressed bytes that one task on the pool decodes: its cost is far above a task's own."""

_BIG_CHUNK = 1 << 23
_SLOT_NBYTES = 1 << 26


class ChunkLoader:
    """Loads chunks of compressed resources through one cache; safe between threads.

    Make one for the process and give it to every BlobStore.
    """

    def __init__(
        self,
        cache: ChunkCache | None = None,
        decompressors: DecompressorPool | None = None,
        *,
        worker_count: int | None = None,
    ) -> None:
        """Use ``cache`` and ``decompressors`` if given; threads start with the first task."""
        self.cache = ChunkCache() if cache is None else cache
        self.decompressors = DecompressorPool() if decompressors is None else decompressors
        self.worker_count = worker_count or os.cpu_count() or 1
        self._executor: ThreadPoolExecutor | None = None
        self._executor_lock = threading.Lock()
        self._closed = False
        self._slots = threading.Semaphore(2)
        self._slot_count = 2

    def load(self, resource: ChunkedResource, first: int, last: int) -> list[bytes]:
        """Return chunks ``first`` to ``last`` (inclusive), decoding what nobody has yet.

        Raises:
            CorruptResourceError: A chunk does not decode.
            TruncatedError: The file ends before.
            ReadFailedError: The operating system reports an error.
        """
        found: list[bytes] = []
        while len(found) <= last - first:
            start = first + len(found)
            claim = self.cache.claim(resource.key, start, last)
            if claim.mine:
                self._decode(resource, start, claim)
            for chunk in claim.chunks:
                data = chunk.wait() if isinstance(chunk, PendingChunk) else chunk
                if data is None:
                    break
                found.append(data)
        return found

    def load_one(self, resource: ChunkedResource, chunk: int) -> bytes | None:
        """Return a chunk that was not in memory; None where another thread decodes it.

        For chunks of at most 8 MiB. Raises as ``load``.
        """
        pending = self.cache.claim_one(resource.key, chunk)
        if pending is None:
            return self.cache.get(resource.key, chunk)
        error: Exception | None = None
        try:
            data = resource.chunk(chunk, self.decompressors)
        except Exception as caught:
            error = caught
            raise
        else:
            self.cache.fulfil(resource.key, chunk, pending, data)
            pending = None
            return data
        finally:
            if pending is not None:
                self.cache.abandon(resource.key, chunk, pending, error)

    def prefetch(
        self, resource: ChunkedResource, first: int, last: int, first_wanted: Callable[[], int]
    ) -> None:
        """Decode chunks into the cache on the pool's threads, in batches of 256 KiB.

        ``first_wanted`` is asked before each batch begins: what lies before is skipped. Errors are
        left for the reader to meet.
        """
        step = max(1, BATCH_NBYTES >> resource.chunk_shift)
        for start in range(first, last + 1, step):
            end = min(start + step - 1, last)
            self.submit(self._prefetch_batch, resource, start, end, first_wanted)

    def submit(self, task: Callable[..., T], *arguments: object) -> Future[T] | None:
        """Run a task on the pool's threads; None where the loader is closed."""
        with self._executor_lock:
            if self._closed:
                return None
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.worker_count, "decode")
            return self._executor.submit(task, *arguments)

    def allow_big_chunks(self, file_size: int) -> None:
        """Let more threads decode chunks over 8 MiB at once, one for every 64 MiB of a file.

        Two can always: memory grows with what was opened, not with what a small file claims.
        """
        wanted = min(self.worker_count, file_size // _SLOT_NBYTES)
        with self._executor_lock:
            while self._slot_count < wanted:
                self._slots.release()
                self._slot_count += 1

    def close(self) -> None:
        """Stop decoding ahead and wait for the threads."""
        with self._executor_lock:
            self._closed = True
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _prefetch_batch(
        self, resource: ChunkedResource, first: int, last: int, first_wanted: Callable[[], int]
    ) -> None:
        first = max(first, first_wanted())
        if first > last:
            return
        claim = self.cache.claim(resource.key, first, last)
        if claim.mine:
            self._decode(resource, first, claim)

    def _decode(self, resource: ChunkedResource, start: int, claim: Claim) -> None:
        """Decode the claimed chunks up to the first bad one; every claim is settled afterwards."""
        left = deque(claim.mine)
        slots = self._slots if resource.chunk_size > _BIG_CHUNK else nullcontext()
        try:
            with slots:
                for begin, end in _consecutive(claim.mine):
                    for data in resource.chunks(start + begin, start + end, self.decompressors):
                        position = left.popleft()
                        pending = _pending(claim, position)
                        self.cache.fulfil(resource.key, start + position, pending, data)
        except Exception as error:
            position = left.popleft()
            pending = _pending(claim, position)
            if isinstance(error, CorruptResourceError) and resource.chunk_size >= BATCH_NBYTES:
                self.cache.keep_error(resource.key, start + position, error)
            self.cache.abandon(resource.key, start + position, pending, error)
        finally:
            for position in left:
                self.cache.abandon(resource.key, start + position, _pending(claim, position))


def _pending(claim: Claim, position: int) -> PendingChunk:
    pending = claim.chunks[position]
    assert isinstance(pending, PendingChunk)
    return pending


def _consecutive(positions: list[int]) -> list[tuple[int, int]]:
    """Return the runs of ascending numbers, ends included."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position - 1:
            runs[-1] = (runs[-1][0], position)
        else:
            runs.append((position, position))
    return runs
