"""Blobs opened for reading: the OpenFile of the tree interface over resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.engine.container.chunk_loader import BATCH_NBYTES

if TYPE_CHECKING:
    from wimtui.engine.container.chunk_loader import ChunkLoader
    from wimtui.engine.container.read_ahead import ReadAhead
    from wimtui.engine.container.resource_reader import ChunkedResource, RawResource

_INLINE_CHUNK = 1 << 16
"""Largest chunk that read_nowait decodes itself: some 0.2 ms, what a thread hop costs twice."""


class EmptyBlob:
    """A stream of no bytes."""

    __slots__ = ()

    def read_nowait(self, offset: int, size: int) -> bytes:
        """Return nothing."""
        return b""

    def read(self, offset: int, size: int) -> bytes:
        """Return nothing."""
        return b""

    def close(self) -> None:
        """Do nothing."""


class RawBlob:
    """A blob stored as it is; every read is one pread(2)."""

    __slots__ = ("_resource", "_size")

    def __init__(self, resource: RawResource) -> None:
        self._resource = resource
        self._size = resource.uncompressed_size

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes at ``offset``.

        Raises:
            TruncatedError: The file ends before.
            ReadFailedError: The operating system reports an error.
        """
        if offset < 0 or size < 0:
            raise ValueError("a negative offset or size")
        size = min(size, self._size - offset)
        return self._resource.read(offset, size) if size > 0 else b""

    read_nowait = read

    def close(self) -> None:
        """Do nothing: the file stays open with its WimFile."""


class ChunkedBlob:
    """A blob in a compressed resource: all of it, or a range where the resource is solid."""

    __slots__ = ("_ahead", "_base", "_cache", "_loader", "_owns_ahead", "_resource", "_size")

    def __init__(
        self,
        loader: ChunkLoader,
        resource: ChunkedResource,
        ahead: ReadAhead,
        *,
        offset_in_resource: int,
        size: int,
        owns_ahead: bool,
    ) -> None:
        """Read through ``loader``; an own ``ahead`` ends with ``close``, a shared one goes on."""
        self._loader = loader
        self._cache = loader.cache
        self._resource = resource
        self._ahead = ahead
        self._base = offset_in_resource
        self._size = size
        self._owns_ahead = owns_ahead

    def read_nowait(self, offset: int, size: int) -> bytes | None:
        """Return up to ``size`` bytes at ``offset`` from memory.

        One missing chunk of up to 64 KiB is decoded on the spot unless other threads are at it.
        None where it would take more.

        Raises:
            WimError: The chunk is corrupt or unreadable.
        """
        end = min(offset + size, self._size)
        if end <= offset or offset < 0:
            return self._nothing(offset, size)
        start = self._base + offset
        stop = self._base + end
        resource = self._resource
        shift = resource.chunk_shift
        first = start >> shift
        last = (stop - 1) >> shift
        if first == last:
            chunk = self._cache.get(resource.key, first)
            if chunk is None:
                chunk = self._load_cheap(first)
            if chunk is None:
                return None
            self._ahead.note(start, stop)
            begin = first << shift
            return chunk[start - begin : stop - begin]
        chunks = self._cache.get_run(resource.key, first, last)
        if chunks is None:
            if last - first > 1:
                return None
            head, tail = (self._cache.get(resource.key, chunk) for chunk in (first, last))
            if head is None and tail is None:
                return None
            head = head or self._load_cheap(first)
            tail = tail or self._load_cheap(last)
            if head is None or tail is None:
                return None
            chunks = [head, tail]
        self._ahead.note(start, stop)
        self._let_go(first, stop)
        return _joined(chunks, start - (first << shift), stop - (last << shift))

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes at ``offset``; waits for chunks that others decode.

        Raises:
            CorruptResourceError: A chunk does not decode.
            TruncatedError: The file ends before.
            ReadFailedError: The operating system reports an error.
        """
        end = min(offset + size, self._size)
        if end <= offset or offset < 0:
            return self._nothing(offset, size)
        start = self._base + offset
        stop = self._base + end
        resource = self._resource
        shift = resource.chunk_shift
        first = start >> shift
        last = (stop - 1) >> shift
        self._ahead.note(start, stop)
        if first == last:
            chunk = self._cache.get(resource.key, first)
            if chunk is None:
                chunk = self._loader.load(resource, first, first)[0]
            begin = first << shift
            return chunk[start - begin : stop - begin]
        chunks = self._cache.get_run(resource.key, first, last)
        if chunks is None:
            chunks = self._load_run(first, last)
        self._let_go(first, stop)
        return _joined(chunks, start - (first << shift), stop - (last << shift))

    def close(self) -> None:
        """Stop reading ahead."""
        if self._owns_ahead:
            self._ahead.drop()

    def _nothing(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0:
            raise ValueError("a negative offset or size")
        return b""

    def _load_cheap(self, chunk: int) -> bytes | None:
        """Decode a chunk on the spot if it is small and nobody else's work."""
        if self._resource.chunk_size > _INLINE_CHUNK or self._ahead.is_scheduled(chunk):
            return None
        return self._loader.load_one(self._resource, chunk)

    def _let_go(self, first: int, stop: int) -> None:
        """Drop the chunks that a long reader has had: whoever copies does not come back.

        And if so the kernel has kept them. Chunks of solid resources stay, as they hold more than
        one file, and so do large ones, which a single read does not use up.
        """
        resource = self._resource
        if self._owns_ahead and self._ahead.is_long and resource.chunk_size <= _INLINE_CHUNK:
            following = stop >> resource.chunk_shift
            self._ahead.pass_by(following)
            self._cache.discard(resource.key, first, following - 1)

    def _load_run(self, first: int, last: int) -> list[bytes]:
        """Load many chunks, with the help of the pool beyond the first batch."""
        resource = self._resource
        step = max(1, BATCH_NBYTES >> resource.chunk_shift)
        if last - first < step:
            return self._loader.load(resource, first, last)
        wanted = 0
        if not self._ahead.is_scheduled(last):
            self._loader.prefetch(resource, first + step, last, lambda: wanted)
        chunks: list[bytes] = []
        try:
            for start in range(first, last + 1, step):
                chunks += self._loader.load(resource, start, min(start + step - 1, last))
        finally:
            wanted = resource.chunk_count
        return chunks


def _joined(chunks: list[bytes], start: int, stop: int) -> bytes:
    """Return the chunks as one, the first from ``start`` and the last up to ``stop``."""
    pieces: list[bytes | memoryview] = list(chunks)
    if start:
        pieces[0] = memoryview(chunks[0])[start:]
    if stop < len(chunks[-1]):
        pieces[-1] = memoryview(chunks[-1])[:stop]
    return b"".join(pieces)
