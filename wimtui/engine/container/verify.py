"""Verification of every blob of a store: decode and hash on all cores, compare."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from wimtui.engine.container.blob_store import blob_info
from wimtui.engine.container.resource_reader import RawResource
from wimtui.engine.errors import (
    BlobHashError,
    CorruptResourceError,
    ReadFailedError,
    TruncatedError,
    WimError,
)
from wimtui.engine.progress import Phase, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from wimtui.engine.codecs.factory import DecompressorPool
    from wimtui.engine.container.blob_store import BlobInfo, BlobStore
    from wimtui.engine.container.resource_reader import Resource
    from wimtui.engine.container.wim_file import WimFile
    from wimtui.engine.progress import CancelToken, ProgressSink

_UNIT_NBYTES = 1 << 20
"""Uncompressed bytes that one task decodes, or one chunk."""

_BATCH_UNITS = 64
_WINDOW_NBYTES = 64 << 20
"""Uncompressed bytes that may be decoded and not yet hashed, per core; two tasks always may."""


@dataclass(frozen=True, slots=True)
class BadBlob:
    """A blob that does not read as what its table says."""

    info: BlobInfo
    error: WimError


@dataclass(slots=True, eq=False)
class _Blob:
    """A blob on its way: what of it was hashed, in order.

    The error is the first one met, and from then on nothing more of it is decoded.
    """

    info: BlobInfo
    sha1: hashlib._Hash = field(default_factory=lambda: hashlib.sha1(usedforsecurity=False))
    error: WimError | None = None
    skipped_nbytes: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range of a resource that belongs to one blob."""

    blob: _Blob
    start: int
    end: int
    is_whole: bool
    is_last: bool


@dataclass(frozen=True, slots=True)
class _Unit:
    """Pieces of blobs that lie in the same few chunks of a resource."""

    resource: Resource
    chunk_size: int
    pieces: list[_Piece]

    @property
    def nbytes(self) -> int:
        """Bytes to decode for it, but for the ends of its first and last chunk."""
        return self.pieces[-1].end - self.pieces[0].start

    def decode(self, decompressors: DecompressorPool) -> dict[int, bytes | WimError]:
        """Return the chunks by number, an error for each that does not read."""
        chunk = self.pieces[0].start // self.chunk_size
        last = (self.pieces[-1].end - 1) // self.chunk_size
        chunks: dict[int, bytes | WimError] = {}
        while chunk <= last:
            try:
                for data in self._chunks(chunk, last, decompressors):
                    chunks[chunk] = data
                    chunk += 1
            except WimError as error:
                chunks[chunk] = error
                chunk += 1
        return chunks

    def _chunks(self, first: int, last: int, decompressors: DecompressorPool) -> Iterator[bytes]:
        resource = self.resource
        if not isinstance(resource, RawResource):
            yield from resource.chunks(first, last, decompressors)
            return
        for chunk in range(first, last + 1):
            offset = chunk * self.chunk_size
            size = min(self.chunk_size, resource.uncompressed_size - offset)
            yield resource.read(offset, size)


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A decoded unit. Blobs that lie in it whole are hashed; chunks are kept for the others."""

    unit: _Unit
    chunks: dict[int, bytes | WimError]


def verify_blobs(
    store: BlobStore, progress: ProgressSink | None = None, cancel: CancelToken | None = None
) -> list[BadBlob]:
    """Read every blob and metadata resource once and compare its SHA-1.

    Solid resources are decoded once, in order. Goes on after bad blobs and returns them all.

    Raises:
        CancelledError: ``cancel`` was used.
        ReadFailedError: The store was closed meanwhile.
    """
    return _Verification(store, progress, cancel).run()


class _Verification:
    """One run of verify_blobs."""

    def __init__(
        self, store: BlobStore, progress: ProgressSink | None, cancel: CancelToken | None
    ) -> None:
        self._store = store
        self._loader = store.loader
        self._progress = progress
        self._cancel = cancel
        self._bad: list[BadBlob] = []
        self._bytes_done = 0
        self._items_done = 0
        self._bytes_total = 0
        self._items_total = 0

    def run(self) -> list[BadBlob]:
        places = [(wim, self._rows(wim)) for wim in self._store.files]
        for wim, rows in places:
            self._items_total += len(rows)
            self._bytes_total += sum(wim.blob_table.size(row) for row in rows)
        file_size = sum(wim.file.size for wim in self._store.files)
        limit = min(_WINDOW_NBYTES * self._loader.worker_count, _WINDOW_NBYTES + 2 * file_size)
        window: deque[tuple[int, Future[list[_Decoded]]]] = deque()
        in_flight = 0
        try:
            for batch in self._batches(places):
                nbytes = sum(unit.nbytes for unit in batch)
                while len(window) > 1 and in_flight + nbytes > limit:
                    in_flight -= self._finish_oldest(window)
                task = self._loader.submit(self._decode, batch)
                if task is None:
                    raise ReadFailedError("closed while being verified", path=self._store.main.path)
                window.append((nbytes, task))
                in_flight += nbytes
            while window:
                self._finish_oldest(window)
        finally:
            for _, task in window:
                task.cancel()
        return self._bad

    def _rows(self, wim: WimFile) -> list[int]:
        """Return the rows of a file to verify: those that no earlier file holds."""
        table = wim.blob_table
        rows = list(table.metadata_rows) if wim is self._store.main else []
        earlier = self._store.files[: self._store.files.index(wim)]
        for row in table.blob_rows_in_file_order():
            sha1 = table.index.sha1(row) if earlier else b""
            if all(other.blob_table.find(sha1) < 0 for other in earlier):
                rows.append(row)
        return rows

    def _batches(self, places: list[tuple[WimFile, list[int]]]) -> Iterator[list[_Unit]]:
        """Yield work for one task each: one large unit or several small ones."""
        batch: list[_Unit] = []
        nbytes = 0
        for wim, rows in places:
            for unit in self._units(wim, rows):
                if batch and (nbytes + unit.nbytes > _UNIT_NBYTES or len(batch) >= _BATCH_UNITS):
                    yield batch
                    batch, nbytes = [], 0
                batch.append(unit)
                nbytes += unit.nbytes
        if batch:
            yield batch

    def _units(self, wim: WimFile, rows: list[int]) -> Iterator[_Unit]:
        table = wim.blob_table
        for number, members in groupby(rows, table.index.solid_index):
            if number >= 0 and table.solids[number].is_usable:
                resource = table.solids[number].open(wim.file)
                yield from _split(resource, (_solid_span(wim, row) for row in members))
                continue
            for row in members:
                blob = _Blob(blob_info(wim, row))
                try:
                    alone = _open_alone(wim, row)
                except WimError as error:
                    blob.error = error
                    self._bytes_done += blob.info.uncompressed_size
                    self._judge(blob)
                else:
                    yield from _split(alone, [(blob, 0, alone.uncompressed_size)])

    def _decode(self, batch: list[_Unit]) -> list[_Decoded]:
        """Decode units, and hash the blobs that lie in one of them whole (on a pool thread)."""
        done = []
        for unit in batch:
            if self._cancel is not None:
                self._cancel.check()
            if all(piece.blob.error is not None for piece in unit.pieces):
                done.append(_Decoded(unit, {}))
                continue
            chunks = unit.decode(self._loader.decompressors)
            is_left = False
            for piece in unit.pieces:
                if piece.is_whole:
                    _hash(piece, chunks, unit.chunk_size)
                else:
                    is_left = True
            done.append(_Decoded(unit, chunks if is_left else {}))
        return done

    def _finish_oldest(self, window: deque[tuple[int, Future[list[_Decoded]]]]) -> int:
        if self._cancel is not None:
            self._cancel.check()
        nbytes, task = window.popleft()
        for decoded in task.result():
            for piece in decoded.unit.pieces:
                if not piece.is_whole:
                    _hash(piece, decoded.chunks, decoded.unit.chunk_size)
                self._bytes_done += piece.end - piece.start
                if piece.is_last:
                    self._bytes_done += piece.blob.skipped_nbytes
                    self._judge(piece.blob)
        if self._progress is not None:
            self._progress(
                Progress(
                    Phase.VERIFY,
                    self._bytes_done,
                    self._bytes_total,
                    self._items_done,
                    self._items_total,
                    self._store.main.path,
                )
            )
        return nbytes

    def _judge(self, blob: _Blob) -> None:
        """Decide about a blob of which everything was read."""
        self._items_done += 1
        error = blob.error
        if error is None and blob.sha1.digest() != blob.info.sha1:
            error = BlobHashError(
                f"checksum mismatch for blob {blob.info.sha1.hex()}",
                path=blob.info.path,
                structure=f"blob table entry {blob.info.row}",
            )
        if error is not None:
            # The frames of a traceback would keep the stored bytes of every bad chunk.
            error.__traceback__ = error.__cause__ = error.__context__ = None
            self._bad.append(BadBlob(blob.info, error))


def _solid_span(wim: WimFile, row: int) -> tuple[_Blob, int, int]:
    info = blob_info(wim, row)
    start = info.offset_in_resource
    return _Blob(info), start, start + info.uncompressed_size


def _open_alone(wim: WimFile, row: int) -> Resource:
    """Return a reader for a blob outside solid resources.

    Raises:
        WimError: Its place cannot be, whatever it claims to hold.
    """
    table = wim.blob_table
    solid = table.solid_of(row)
    place = table.row(row).resource
    if solid is None:
        resource = wim.open_resource(place)
        if table.index.is_usable(row):
            return resource
    offset, nbytes = place.offset_in_wim, place.size_in_wim
    if solid is not None:
        offset, nbytes = solid.offset_in_wim, solid.size_in_wim
    kind = TruncatedError if offset + nbytes > wim.file.size else CorruptResourceError
    raise kind(
        f"{nbytes} stored bytes cannot lie at offset {offset} of a file of {wim.file.size}",
        path=wim.path,
        structure=f"blob table entry {row}",
    )


def _split(resource: Resource, spans: Iterable[tuple[_Blob, int, int]]) -> Iterator[_Unit]:
    """Cut blobs, given in ascending order, at the borders of units.

    Of a blob found bad meanwhile only the last piece follows.
    """
    chunk_size = _UNIT_NBYTES if isinstance(resource, RawResource) else resource.chunk_size
    unit_nbytes = max(_UNIT_NBYTES, chunk_size)
    pieces: list[_Piece] = []
    current = -1
    for blob, start, end in spans:
        last = (end - 1) // unit_nbytes
        number = start // unit_nbytes
        while number <= last:
            if blob.error is not None and number < last:
                blob.skipped_nbytes = last * unit_nbytes - max(start, number * unit_nbytes)
                number = last
            if number != current and pieces:
                yield _Unit(resource, chunk_size, pieces)
                pieces = []
            current = number
            begin = max(start, number * unit_nbytes)
            stop = min(end, (number + 1) * unit_nbytes)
            is_whole = begin == start and stop == end
            pieces.append(_Piece(blob, begin, stop, is_whole, stop == end))
            number += 1
    if pieces:
        yield _Unit(resource, chunk_size, pieces)


def _hash(piece: _Piece, chunks: dict[int, bytes | WimError], chunk_size: int) -> None:
    """Add a piece's bytes to its blob's hash, or note why they cannot be read."""
    blob = piece.blob
    if blob.error is not None:
        return
    for number in range(piece.start // chunk_size, (piece.end - 1) // chunk_size + 1):
        data = chunks[number]
        if isinstance(data, WimError):
            blob.error = data
            return
        base = number * chunk_size
        start, end = max(piece.start - base, 0), min(piece.end - base, len(data))
        blob.sha1.update(memoryview(data)[start:end])
