"""Reading back what was written, before anybody is told that it was."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.codecs.factory import DecompressorPool
from wimtui.engine.commit.sources import PIECE_NBYTES
from wimtui.engine.container.blob_table import BlobTable
from wimtui.engine.container.compression import codec_from_flags, effective_chunk_size
from wimtui.engine.container.file_bytes import FileBytes, FileIdentity
from wimtui.engine.container.flags import HEADER_NBYTES
from wimtui.engine.container.limits import Limits
from wimtui.engine.container.resource_reader import RawResource
from wimtui.engine.container.wim_file import WimFile
from wimtui.engine.container.xml_data import XmlData
from wimtui.engine.errors import BlobHashError, WriteFailedError
from wimtui.engine.progress import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from wimtui.engine.commit.finish import WrittenTables
    from wimtui.engine.commit.reporter import Reporter
    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.container.header import Header
    from wimtui.engine.container.resource_reader import Resource
    from wimtui.engine.progress import CancelToken

_TASK_NBYTES = 1 << 20
"""Bytes to read back in one task: threads that took turns for every small blob would be slower."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A blob and the resource that holds it."""

    sha1: bytes
    resource: Resource
    offset_in_resource: int
    size: int


def check_header(fd: int, path: str, header: Header) -> None:
    """Read the header of an open file back. Raises WriteFailedError, OSError."""
    if os.pread(fd, HEADER_NBYTES, 0) != header.pack():
        raise WriteFailedError("the header reads differently from what was written", path=path)


def verify_written(
    path: str,
    header: Header,
    tables: WrittenTables,
    blobs: Mapping[bytes, BlobSource],
    images: list[int],
    reporter: Reporter,
) -> None:
    """Read the tables and every new blob of a file whose header may not be written yet.

    Args:
        path: The file.
        header: The header that it has or will have.
        tables: What was written at its end.
        blobs: The blobs to decode and hash, by SHA-1.
        images: 1-based indexes of the images whose metadata to decode and hash.
        reporter: Told of the progress.

    Raises:
        WriteFailedError: The tables read differently.
        BlobHashError: A blob or metadata resource does.
        WimError: They cannot be read as what they are.
        CancelledError: Stopped.
    """
    file = FileBytes(path)
    try:
        for offset, data in tables.pieces:
            if file.read(offset, len(data), "table") != data:
                raise WriteFailedError("what was written reads differently", path=path)
        wim = _opened(file, header, tables)
        wanted = [*_blobs(wim, blobs), *_images(wim, images)]
        reporter.begin(Phase.VERIFY, sum(piece.size for piece in wanted), len(wanted))
        for piece, digest in _digests(wanted, reporter.cancel):
            if digest != piece.sha1:
                raise BlobHashError(
                    f"blob {piece.sha1.hex()} reads differently from what was written",
                    path=path,
                    structure="resource",
                    offset_in_file=piece.resource.offset_in_wim,
                )
            reporter.advance(piece.size, 1, blobs.get(piece.sha1))
        reporter.finish()
    finally:
        file.close()


def _opened(file: FileBytes, header: Header, tables: WrittenTables) -> WimFile:
    """Return the file as it would open with that header."""
    codec = codec_from_flags(header.flags, path=file.path)
    chunk_size = effective_chunk_size(codec, header.chunk_size, path=file.path)
    limits = Limits(chunk_size=1 << 30)
    place = tables.blob_table
    rows = b"" if place.is_absent else file.read(place.offset_in_wim, place.size_in_wim, "table")
    xml = file.read(tables.xml_data.offset_in_wim, tables.xml_data.size_in_wim, "XML data")
    return WimFile(
        file=file,
        identity=FileIdentity(file.device, file.inode, file.size, bytes(HEADER_NBYTES)),
        header=header,
        codec=codec,
        chunk_size=chunk_size,
        xml=XmlData.parse(xml, path=file.path),
        blob_table=BlobTable.parse(
            rows, file=file, header=header, chunk_size=chunk_size, limits=limits
        ),
        warnings=(),
        limits=limits,
    )


def _blobs(wim: WimFile, blobs: Iterable[bytes]) -> Iterator[_Piece]:
    table = wim.blob_table
    opened: dict[int, Resource] = {}
    for sha1 in blobs:
        row = table.find(sha1)
        if row < 0 or not table.index.is_usable(row):
            raise WriteFailedError(f"blob {sha1.hex()} is not in the table", path=wim.path)
        solid = table.solid_of(row)
        if solid is None:
            resource = wim.open_resource(table.row(row).resource)
            yield _Piece(sha1, resource, 0, table.size(row))
        else:
            resource = opened.setdefault(solid.row, solid.open(wim.file))
            offset = table.row(row).resource.offset_in_wim - solid.base_offset
            yield _Piece(sha1, resource, offset, table.size(row))


def _images(wim: WimFile, images: list[int]) -> Iterator[_Piece]:
    for index in images:
        row = wim.blob_table.row(wim.blob_table.metadata_rows[index - 1])
        resource = wim.open_resource(row.resource)
        yield _Piece(row.sha1, resource, 0, row.resource.uncompressed_size)


def _digests(pieces: list[_Piece], cancel: CancelToken | None) -> Iterator[tuple[_Piece, bytes]]:
    """Yield pieces with their SHA-1, resource by resource, on all cores."""
    decompressors = DecompressorPool()
    workers = os.cpu_count() or 1
    window: deque[Future[list[tuple[_Piece, bytes]]]] = deque()
    executor = ThreadPoolExecutor(workers, "verify")
    try:
        for groups in _tasks(pieces):
            window.append(executor.submit(_hash_groups, groups, decompressors, cancel))
            if len(window) > 4 * workers:
                yield from window.popleft().result()
        while window:
            yield from window.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _tasks(pieces: list[_Piece]) -> Iterator[list[list[_Piece]]]:
    """Yield lists of groups, each group of one resource; small ones share a task."""
    by_resource: dict[int, list[_Piece]] = {}
    for piece in pieces:
        by_resource.setdefault(id(piece.resource), []).append(piece)
    groups: list[list[_Piece]] = []
    nbytes = 0
    for group in by_resource.values():
        groups.append(group)
        nbytes += group[0].resource.uncompressed_size
        if nbytes >= _TASK_NBYTES:
            yield groups
            groups, nbytes = [], 0
    if groups:
        yield groups


def _hash_groups(
    groups: list[list[_Piece]], decompressors: DecompressorPool, cancel: CancelToken | None
) -> list[tuple[_Piece, bytes]]:
    return [done for group in groups for done in _hash_group(group, decompressors, cancel)]


def _hash_group(
    group: list[_Piece], decompressors: DecompressorPool, cancel: CancelToken | None
) -> list[tuple[_Piece, bytes]]:
    """Hash the blobs of one resource, each of its chunks decoded once."""
    group.sort(key=lambda piece: piece.offset_in_resource)
    digests = [hashlib.sha1(usedforsecurity=False) for _ in group]
    first = 0
    for start, data in _decoded(group[0].resource, decompressors):
        if cancel is not None:
            cancel.check()
        while first < len(group) and _end(group[first]) <= start:
            first += 1
        for index in range(first, len(group)):
            piece = group[index]
            if piece.offset_in_resource >= start + len(data):
                break
            begin = max(piece.offset_in_resource - start, 0)
            digests[index].update(memoryview(data)[begin : _end(piece) - start])
    return [(piece, digest.digest()) for piece, digest in zip(group, digests, strict=True)]


def _end(piece: _Piece) -> int:
    return piece.offset_in_resource + piece.size


def _decoded(resource: Resource, decompressors: DecompressorPool) -> Iterator[tuple[int, bytes]]:
    """Yield a resource's bytes with their offsets."""
    if isinstance(resource, RawResource):
        for start in range(0, resource.uncompressed_size, PIECE_NBYTES):
            size = min(PIECE_NBYTES, resource.uncompressed_size - start)
            yield start, resource.read(start, size)
        return
    start = 0
    for data in resource.chunks(0, resource.chunk_count - 1, decompressors):
        yield start, data
        start += len(data)
