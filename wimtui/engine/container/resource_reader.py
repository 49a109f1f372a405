"""Reading resources: raw ones by offset, compressed ones by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.codecs.errors import CodecError
from wimtui.engine.container.chunk_table import ChunkLayout, ChunkPlace, ChunkTable
from wimtui.engine.container.flags import ResourceFlag
from wimtui.engine.errors import (
    CompressionTypeError,
    CorruptResourceError,
    UnsupportedError,
    WimError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from wimtui.engine.codecs.base import Decompressor
    from wimtui.engine.codecs.factory import DecompressorPool
    from wimtui.engine.container.file_bytes import FileBytes
    from wimtui.engine.container.resource import ResourceHeader

_STORED_RUN = 1 << 22
"""Stored bytes read by one system call at most, one chunk aside."""


class RawResource:
    """A resource stored as it is."""

    __slots__ = ("file", "offset_in_wim", "uncompressed_size")

    def __init__(self, file: FileBytes, offset_in_wim: int, uncompressed_size: int) -> None:
        self.file = file
        self.offset_in_wim = offset_in_wim
        self.uncompressed_size = uncompressed_size

    def read(self, offset_in_resource: int, size: int) -> bytes:
        """Return exactly ``size`` bytes.

        Raises:
            TruncatedError: The file ends before.
            ReadFailedError: The operating system reports an error.
        """
        return self.file.read(self.offset_in_wim + offset_in_resource, size, "resource")


class ChunkedResource:
    """A compressed resource, solid or not: chunks that decode independently of each other."""

    __slots__ = (
        "_idle",
        "_table",
        "chunk_count",
        "chunk_shift",
        "chunk_size",
        "codec",
        "file",
        "key",
        "offset_in_wim",
        "uncompressed_size",
    )

    def __init__(self, file: FileBytes, codec: CodecId, layout: ChunkLayout) -> None:
        self.file = file
        self.codec = codec
        self.offset_in_wim = layout.offset_in_wim
        self.uncompressed_size = layout.uncompressed_size
        self.chunk_size = layout.chunk_size
        self.chunk_shift = layout.chunk_size.bit_length() - 1
        self.chunk_count = layout.chunk_count
        self.key = (file.number, layout.offset_in_wim)
        """Names the resource among all that the process has open."""
        self._table = ChunkTable(file, layout)
        self._idle: list[Decompressor] = []

    def chunk(self, number: int, decompressors: DecompressorPool) -> bytes:
        """Decode one chunk. Raises as ``chunks``."""
        place = self._table.place(number)
        stored = self.file.read(
            place.offset_in_wim,
            place.stored_size,
            f"chunk {number} of the resource at {self.offset_in_wim}",
        )
        if place.stored_size == place.uncompressed_size:
            return stored
        try:
            decompressor = self._idle.pop()
        except IndexError:
            decompressor = decompressors.take(self.codec, self.chunk_size)
        try:
            return self._decode(decompressor, stored, number, place)
        finally:
            if self._idle:
                decompressors.give_back(self.codec, self.chunk_size, decompressor)
            else:
                self._idle.append(decompressor)

    def chunks(self, first: int, last: int, decompressors: DecompressorPool) -> Iterator[bytes]:
        """Decode chunks ``first`` to ``last`` (inclusive), one after the other.

        Raises:
            CorruptResourceError: The chunk table is impossible, or a chunk does not decode.
            TruncatedError: The file ends before.
            ReadFailedError: The operating system reports an error.
        """
        decompressor = None
        try:
            chunk = first
            for places, stored in self._stored_runs(first, last):
                base = places[0].offset_in_wim
                for place in places:
                    start = place.offset_in_wim - base
                    data = stored[start : start + place.stored_size]
                    if place.stored_size == place.uncompressed_size:
                        yield bytes(data)
                    else:
                        if decompressor is None:
                            decompressor = decompressors.take(self.codec, self.chunk_size)
                        yield self._decode(decompressor, data, chunk, place)
                    chunk += 1
        finally:
            if decompressor is not None:
                decompressors.give_back(self.codec, self.chunk_size, decompressor)

    def _stored_runs(self, first: int, last: int) -> Iterator[tuple[list[ChunkPlace], memoryview]]:
        """Yield places and stored bytes of consecutive chunks, read by one call each.

        Where a run fails its chunks come one by one, so that the good ones before the bad come.
        """
        step = max(1, _STORED_RUN >> self.chunk_shift)
        for start in range(first, last + 1, step):
            end = min(start + step - 1, last)
            try:
                run = self._stored_run(start, end)
            except WimError:
                if start == end:
                    raise
                yield from (self._stored_run(chunk, chunk) for chunk in range(start, end + 1))
            else:
                yield run

    def _stored_run(self, first: int, last: int) -> tuple[list[ChunkPlace], memoryview]:
        places = self._table.places(first, last)
        begin = places[0].offset_in_wim
        end = places[-1].offset_in_wim + places[-1].stored_size
        structure = f"chunk {first} of the resource at {self.offset_in_wim}"
        return places, memoryview(self.file.read(begin, end - begin, structure))

    def _decode(
        self, decompressor: Decompressor, data: Buffer, chunk: int, place: ChunkPlace
    ) -> bytes:
        try:
            return decompressor.decompress(data, place.uncompressed_size)
        except CodecError as error:
            raise CorruptResourceError(
                f"corrupt compressed data: {error}",
                path=self.file.path,
                structure=f"chunk {chunk} of the resource at {self.offset_in_wim}",
                offset_in_file=place.offset_in_wim,
            ) from error


Resource = RawResource | ChunkedResource


def open_resource(
    file: FileBytes,
    header: ResourceHeader,
    *,
    codec: CodecId,
    chunk_size: int,
    is_pipable: bool = False,
) -> Resource:
    """Return a reader for a non-solid resource; nothing is read yet.

    Args:
        file: Where it lies.
        header: Its place and size.
        codec: The codec of the file.
        chunk_size: The chunk size of the file.
        is_pipable: Whether the file has the pipable layout.

    Raises:
        CorruptResourceError: The sizes contradict each other.
        CompressionTypeError: Compressed, in a file that names no codec.
        UnsupportedError: The SOLID flag: such a resource needs its run of table entries.
    """
    if header.flags & ResourceFlag.SOLID:
        raise UnsupportedError(
            "a solid resource where a plain one is needed",
            path=file.path,
            structure="resource",
            offset_in_file=header.offset_in_wim,
        )
    if not header.flags & ResourceFlag.COMPRESSED:
        if header.size_in_wim != header.uncompressed_size:
            raise CorruptResourceError(
                f"{header.size_in_wim} bytes are stored of an uncompressed resource of "
                f"{header.uncompressed_size}",
                path=file.path,
                structure="resource",
                offset_in_file=header.offset_in_wim,
            )
        return RawResource(file, header.offset_in_wim, header.uncompressed_size)
    if header.uncompressed_size == 0:
        return RawResource(file, header.offset_in_wim, 0)
    if codec is CodecId.NONE:
        raise CompressionTypeError(
            "a compressed resource in a file whose header names no codec",
            path=file.path,
            structure="resource",
            offset_in_file=header.offset_in_wim,
        )
    layout = ChunkLayout.of_plain(
        header.offset_in_wim,
        header.size_in_wim,
        header.uncompressed_size,
        chunk_size,
        path=file.path,
        is_pipable=is_pipable,
    )
    return ChunkedResource(file, codec, layout)


def read_whole(resource: Resource, decompressors: DecompressorPool) -> bytes:
    """Return all bytes of a resource, past any cache; the caller has bounded its size.

    Raises:
        CorruptResourceError: It does not decode.
        TruncatedError: The file ends before.
        ReadFailedError: The operating system reports an error.
    """
    if isinstance(resource, RawResource):
        return resource.read(0, resource.uncompressed_size)
    return b"".join(resource.chunks(0, resource.chunk_count - 1, decompressors))
