"""A solid resource: many blobs compressed as one sequence of bytes."""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from typing import TYPE_CHECKING

from wimtui.engine.commit.sources import PIECE_NBYTES, changed_while_read, pieces
from wimtui.engine.container.solid import SOLID_HEADER_NBYTES, SolidHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wimtui.engine.commit.chunk_pool import ChunkPool, Slot
    from wimtui.engine.commit.output import Output
    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.progress import CancelToken


class SolidWriter:
    """Writes solid resources (wim-container 2.4)."""

    def __init__(
        self,
        output: Output,
        pool: ChunkPool,
        *,
        on_bytes: Callable[[int, BlobSource], None],
        cancel: CancelToken | None = None,
    ) -> None:
        self._output = output
        self._pool = pool
        self._on_bytes = on_bytes
        self._cancel = cancel
        self._waiting: deque[tuple[Slot, int, BlobSource]] = deque()
        self._waiting_nbytes = 0
        self._stored_sizes: list[int] = []

    def write(self, blobs: Sequence[tuple[bytes, BlobSource]]) -> tuple[int, int]:
        """Write one resource of these (SHA-1, data) in order; return its offset and stored size.

        Raises:
            WriteFailedError: Data does not have its SHA-1 any more, or cannot be written.
            NoSpaceError: The disk is full.
            CancelledError: Stopped.
            WimError: A source cannot be read.
        """
        size = sum(source.size for _, source in blobs)
        chunk_count = -(-size // self._pool.chunk_size)
        start = self._output.position
        self._stored_sizes = []
        header = SolidHeader(size, self._pool.chunk_size, self._pool.codec)
        self._output.append(header.pack() + bytes(4 * chunk_count))
        for chunk, last in self._chunks(blobs):
            while self._waiting and self._waiting_nbytes + len(chunk) > self._pool.window_nbytes:
                self._write_oldest()
            self._waiting.append((self._pool.submit(memoryview(chunk)), len(chunk), last))
            self._waiting_nbytes += len(chunk)
        while self._waiting:
            self._write_oldest()
        table = struct.pack(f"<{chunk_count}I", *self._stored_sizes)
        self._output.patch(start + SOLID_HEADER_NBYTES, table)
        return start, self._output.position - start

    def _chunks(
        self, blobs: Sequence[tuple[bytes, BlobSource]]
    ) -> Iterator[tuple[bytearray, BlobSource]]:
        """Yield the blobs' bytes in chunks, each with the last blob in it; hashes are compared."""
        chunk_size = self._pool.chunk_size
        chunk = bytearray()
        for sha1, source in blobs:
            digest = hashlib.sha1(usedforsecurity=False)
            for piece in pieces(source, PIECE_NBYTES, self._cancel):
                digest.update(piece)
                view = memoryview(piece)
                while view:
                    taken = min(len(view), chunk_size - len(chunk))
                    chunk += view[:taken]
                    view = view[taken:]
                    if len(chunk) == chunk_size:
                        yield chunk, source
                        chunk = bytearray()
            if digest.digest() != sha1:
                raise changed_while_read(source)
        if chunk:
            yield chunk, blobs[-1][1]

    def _write_oldest(self) -> None:
        slot, uncompressed_size, source = self._waiting.popleft()
        stored = self._pool.take(slot)
        self._output.append(stored)
        self._stored_sizes.append(len(stored))
        self._waiting_nbytes -= uncompressed_size
        self._on_bytes(uncompressed_size, source)
