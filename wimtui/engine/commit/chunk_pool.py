"""Compression of chunks on all cores, results in the order of the requests."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Self

from wimtui.engine.codecs.factory import open_compressor

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType

    from wimtui.engine.codecs.base import CodecId, Compressor
    from wimtui.engine.progress import CancelToken

BATCH_NBYTES = 1 << 18
"""Uncompressed bytes of one task: some 20 ms of LZX, far above what a task itself costs."""

_MEMORY_PER_CHUNK_BYTE = 24
"""What an LZMS compressor needs: suffix array, links, and the chunk several times."""

_POLL_S = 0.1


class _Batch:
    """Chunks that one task compresses."""

    __slots__ = ("chunks", "done", "future", "nbytes")

    def __init__(self) -> None:
        self.chunks: list[memoryview] = []
        self.nbytes = 0
        self.future: Future[list[bytes | memoryview]] | None = None
        self.done: list[bytes | memoryview] | None = None


class Slot(NamedTuple):
    """The place of one chunk's result."""

    batch: _Batch
    position: int


class ChunkPool:
    """Compressors on threads. One thread submits and takes."""

    def __init__(
        self,
        codec: CodecId,
        chunk_size: int,
        level: int,
        *,
        worker_count: int | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Compress with ``codec``, which is not NONE; fewer workers where memory is short."""
        self.codec = codec
        self.chunk_size = chunk_size
        self._level = level
        self._cancel = cancel
        self.worker_count = worker_count or _workers(chunk_size)
        batches = 3 * self.worker_count * BATCH_NBYTES
        self.window_nbytes = max(batches, (self.worker_count + 1) * chunk_size, 1 << 22)
        """Uncompressed bytes that may be submitted and not yet taken."""
        self._idle: list[Compressor] = []
        self._lock = threading.Lock()
        self._open = _Batch()
        self._executor = ThreadPoolExecutor(self.worker_count, "compress")

    def submit(self, chunk: memoryview) -> Slot:
        """Hand a chunk in; its memory must stay as it is."""
        batch = self._open
        batch.chunks.append(chunk)
        batch.nbytes += len(chunk)
        slot = Slot(batch, len(batch.chunks) - 1)
        if batch.nbytes >= BATCH_NBYTES:
            self._start()
        return slot

    def take(self, slot: Slot) -> bytes | memoryview:
        """Return the chunk to store, which is as long as the original where that is stored raw.

        Raises:
            CancelledError: Stopped while waiting.
        """
        batch = slot.batch
        if batch.done is None:
            batch.done = self._wait_for(batch)
        return batch.done[slot.position]

    def _wait_for(self, batch: _Batch) -> list[bytes | memoryview]:
        if batch.future is None:
            self._start()
        future = batch.future
        assert future is not None
        while True:
            if self._cancel is not None:
                self._cancel.check()
            try:
                return future.result(_POLL_S)
            except TimeoutError:
                if future.done():
                    raise

    def close(self) -> None:
        """End the threads; tasks not begun are dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> None:
        batch, self._open = self._open, _Batch()
        batch.future = self._executor.submit(self._compress, batch.chunks)

    def _compress(self, chunks: list[memoryview]) -> list[bytes | memoryview]:
        with self._lock:
            compressor = self._idle.pop() if self._idle else None
        if compressor is None:
            compressor = open_compressor(self.codec, self.chunk_size, self._level)
        done = [compressor.compress(chunk) or chunk for chunk in chunks]
        with self._lock:
            self._idle.append(compressor)
        return done


def _workers(chunk_size: int) -> int:
    """Return one worker a core, or as many as half of the free memory can hold."""
    cores = len(os.sched_getaffinity(0))
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(cores, free // 2 // (chunk_size * _MEMORY_PER_CHUNK_BYTE)))
