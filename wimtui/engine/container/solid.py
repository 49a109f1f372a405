"""Solid resources: many blobs in one sequence of chunks with a codec of its own."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container.chunk_table import ChunkLayout
from wimtui.engine.container.compression import check_chunk_size
from wimtui.engine.container.flags import HEADER_NBYTES
from wimtui.engine.container.resource_reader import ChunkedResource
from wimtui.engine.errors import BlobTableError, CompressionTypeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from wimtui.engine.container.file_bytes import FileBytes
    from wimtui.engine.container.limits import Limits
    from wimtui.engine.container.resource import ResourceHeader

SOLID_HEADER_NBYTES = 16
SOLID_MARKER = 1 << 32
"""The uncompressed size that tells a solid resource's entry from a blob's."""

_LAYOUT = struct.Struct("<QII")


@dataclass(frozen=True, slots=True)
class SolidHeader:
    """The 16 bytes at the start of a solid resource; the table of stored sizes follows."""

    uncompressed_size: int
    chunk_size: int
    codec_number: int
    """A CodecId, unless the file is corrupt."""

    @classmethod
    def parse(cls, buffer: Buffer) -> SolidHeader:
        """Read the first 16 bytes of ``buffer``."""
        return cls(*_LAYOUT.unpack_from(buffer))

    def pack(self) -> bytes:
        """Return the 16 bytes."""
        return _LAYOUT.pack(self.uncompressed_size, self.chunk_size, self.codec_number)


@dataclass(frozen=True, slots=True)
class SolidResource:
    """A solid resource as the blob table places it."""

    row: int
    """Of its entry in the blob table."""

    run: int
    """Number of the run of entries that it belongs to; logical offsets start anew in each."""

    size_in_wim: int
    offset_in_wim: int
    base_offset: int
    """Logical offset of its first byte within the run."""

    uncompressed_size: int
    chunk_size: int
    codec: CodecId
    is_usable: bool
    """Whether all of it lies within the file."""

    def open(self, file: FileBytes) -> ChunkedResource:
        """Return a reader.

        Raises:
            CorruptResourceError: It is too small for its chunk table.
        """
        layout = ChunkLayout.of_solid(
            self.offset_in_wim,
            self.size_in_wim,
            self.uncompressed_size,
            self.chunk_size,
            path=file.path,
        )
        return ChunkedResource(file, self.codec, layout)


def load_solid_resource(
    file: FileBytes, header: ResourceHeader, *, row: int, run: int, base_offset: int, limits: Limits
) -> SolidResource:
    """Read and check the header of a solid resource.

    Args:
        file: Where it lies.
        header: The place that the blob table gives.
        row: Its entry's row.
        run: The run it belongs to.
        base_offset: Uncompressed bytes of the resources before it in the run.
        limits: What chunk size to accept.

    Raises:
        TruncatedError: The file ends before the 16 bytes do.
        CompressionTypeError: The codec number is none of 1 to 3.
        ChunkSizeError: The codec cannot have that chunk size.
        LimitError: The chunk size is over the limit.
        BlobTableError: Stored and uncompressed size contradict each other, or overflow.
    """
    offset = header.offset_in_wim
    structure = f"solid resource of blob table entry {row}"
    solid = SolidHeader.parse(file.read(offset, SOLID_HEADER_NBYTES, structure))
    if solid.codec_number not in (CodecId.XPRESS, CodecId.LZX, CodecId.LZMS):
        raise CompressionTypeError(
            f"unknown compression type {solid.codec_number}",
            path=file.path,
            structure=structure,
            offset_in_file=offset + 12,
        )
    codec = CodecId(solid.codec_number)
    check_chunk_size(
        codec, solid.chunk_size, path=file.path, structure=structure, offset_in_file=offset + 8
    )
    limits.check_chunk_size(
        solid.chunk_size, path=file.path, structure=structure, offset_in_file=offset + 8
    )
    chunk_count = -(-solid.uncompressed_size // solid.chunk_size)
    if SOLID_HEADER_NBYTES + 5 * chunk_count > header.size_in_wim:
        raise BlobTableError(
            f"{header.size_in_wim} bytes cannot hold {chunk_count} chunks and their table",
            path=file.path,
            structure=structure,
            offset_in_file=offset,
        )
    if base_offset + solid.uncompressed_size >> 64:
        raise BlobTableError(
            "the sizes of a run of solid resources overflow",
            path=file.path,
            structure=structure,
            offset_in_file=offset,
        )
    return SolidResource(
        row=row,
        run=run,
        size_in_wim=header.size_in_wim,
        offset_in_wim=offset,
        base_offset=base_offset,
        uncompressed_size=solid.uncompressed_size,
        chunk_size=solid.chunk_size,
        codec=codec,
        is_usable=offset >= HEADER_NBYTES and header.end_in_wim <= file.size,
    )
