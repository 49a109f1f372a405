"""Resources written one after the other, compressed on all cores, hashed on the way."""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wimtui.engine.commit.sources import PIECE_NBYTES, changed_while_read, pieces
from wimtui.engine.container.flags import ResourceFlag
from wimtui.engine.container.resource import ResourceHeader

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.commit.chunk_pool import ChunkPool, Slot
    from wimtui.engine.commit.output import Output
    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.progress import CancelToken


@dataclass(slots=True, eq=False)
class _Resource:
    """A resource on its way: chunks submitted, and the stored sizes of those written."""

    source: BlobSource
    sha1: bytes
    flags: ResourceFlag
    done: Callable[[ResourceHeader], None]
    chunk_count: int
    table_nbytes: int
    slots: deque[tuple[Slot, int]] = field(default_factory=deque)
    """Chunks submitted and not yet written, with their uncompressed sizes."""
    offset_in_wim: int = -1
    stored_sizes: list[int] = field(default_factory=list)


class ResourceWriter:
    """Writes non-solid resources in the order they are added (wim-container 13.3).

    Compression runs behind: ``done`` of a resource is called when its bytes are in the output,
    at the latest by ``flush``.
    """

    def __init__(
        self,
        output: Output,
        pool: ChunkPool | None,
        *,
        on_bytes: Callable[[int, BlobSource], None],
        cancel: CancelToken | None = None,
    ) -> None:
        """Write to ``output``.

        Args:
            output: The end of the file.
            pool: Compressors of the file's codec and chunk size; None stores everything raw.
            on_bytes: Told how many uncompressed bytes of what were dealt with.
            cancel: Asked now and then.
        """
        self._output = output
        self._pool = pool
        self._on_bytes = on_bytes
        self._cancel = cancel
        self._waiting: deque[_Resource] = deque()
        self._waiting_nbytes = 0

    def add(
        self,
        source: BlobSource,
        sha1: bytes,
        flags: ResourceFlag,
        done: Callable[[ResourceHeader], None],
    ) -> None:
        """Write a resource of at least one byte.

        Raises:
            WriteFailedError: The bytes do not have that SHA-1 any more, or cannot be written.
            NoSpaceError: The disk is full.
            CancelledError: Stopped.
            WimError: The source cannot be read.
        """
        if self._pool is None:
            start = self._output.position
            self._copy_raw(source, sha1)
            done(ResourceHeader(source.size, flags, start, source.size))
            return
        chunk_size = self._pool.chunk_size
        count = -(-source.size // chunk_size)
        width = 8 if source.size >> 32 else 4
        resource = _Resource(source, sha1, flags, done, count, (count - 1) * width)
        self._waiting.append(resource)
        digest = hashlib.sha1(usedforsecurity=False)
        for piece in pieces(source, max(PIECE_NBYTES, chunk_size), self._cancel):
            digest.update(piece)
            view = memoryview(piece)
            for start in range(0, len(view), chunk_size):
                self._submit(resource, view[start : start + chunk_size])
        if digest.digest() != sha1:
            raise changed_while_read(source)

    def flush(self) -> None:
        """Wait for everything added, and write it."""
        while self._waiting:
            self._write_oldest()

    def _submit(self, resource: _Resource, chunk: memoryview) -> None:
        assert self._pool is not None
        while self._waiting_nbytes + len(chunk) > self._pool.window_nbytes and self._waiting_nbytes:
            self._write_oldest()
        resource.slots.append((self._pool.submit(chunk), len(chunk)))
        self._waiting_nbytes += len(chunk)

    def _write_oldest(self) -> None:
        """Write the oldest chunk, and what begins and ends its resource."""
        assert self._pool is not None
        resource = self._waiting[0]
        if resource.offset_in_wim < 0:
            resource.offset_in_wim = self._output.position
            self._output.append(bytes(resource.table_nbytes))
        slot, uncompressed_size = resource.slots.popleft()
        stored = self._pool.take(slot)
        self._output.append(stored)
        resource.stored_sizes.append(len(stored))
        self._waiting_nbytes -= uncompressed_size
        self._on_bytes(uncompressed_size, resource.source)
        if len(resource.stored_sizes) == resource.chunk_count:
            self._waiting.popleft()
            self._finish(resource)

    def _finish(self, resource: _Resource) -> None:
        size = resource.source.size
        stored = resource.table_nbytes + sum(resource.stored_sizes)
        start = resource.offset_in_wim
        flags = resource.flags | ResourceFlag.COMPRESSED
        if stored < size:
            self._output.patch(start, _table(resource))
        else:
            # One raw chunk is an uncompressed resource already.
            stored, flags = size, resource.flags
            if resource.chunk_count > 1:
                self._output.rewind(start)
                self._copy_raw(resource.source, resource.sha1, counted=True)
        resource.done(ResourceHeader(stored, flags, start, size))

    def _copy_raw(self, source: BlobSource, sha1: bytes, *, counted: bool = False) -> None:
        digest = hashlib.sha1(usedforsecurity=False)
        for piece in pieces(source, PIECE_NBYTES, self._cancel):
            digest.update(piece)
            self._output.append(piece)
            if not counted:
                self._on_bytes(len(piece), source)
        if digest.digest() != sha1:
            raise changed_while_read(source)


def _table(resource: _Resource) -> bytes:
    """Return the offsets of all chunks but the first, counted from the first one's start."""
    offsets = []
    total = 0
    for stored in resource.stored_sizes[:-1]:
        total += stored
        offsets.append(total)
    width = "Q" if resource.source.size >> 32 else "I"
    return struct.pack(f"<{len(offsets)}{width}", *offsets)
