"""Blob table: which blobs a file holds, and where."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wimtui.engine.container import _blob_index
from wimtui.engine.container._blob_index import ROW_NBYTES, BlobIndex, solid_resource_rows
from wimtui.engine.container.flags import HEADER_NBYTES, WimVersion
from wimtui.engine.container.resource import RESOURCE_HEADER_NBYTES, ResourceHeader
from wimtui.engine.container.solid import SolidResource, load_solid_resource
from wimtui.engine.errors import BlobTableError, LimitError, PipableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from wimtui.engine.container.file_bytes import FileBytes
    from wimtui.engine.container.header import Header
    from wimtui.engine.container.limits import Limits

PIPABLE_RECORD_NBYTES = 40
"""Size of the record before each resource of a pipable file."""

MAX_FILE_SIZE = (1 << 63) - 1
"""The largest size that a file system can show."""

_TAIL = struct.Struct("<HI20s")
_IGNORED_BECAUSE = (
    "have a zero hash",
    "hold no data",
    "belong to another part",
    "are unreferenced metadata",
    "are metadata in a later part",
    "are metadata beyond the image count",
    "repeat the hash of an earlier entry",
)
_SILENT = (0, 3)
"""Reasons that are normal: spare rows, and metadata that WAIK 2.1 left behind."""

_REFUSED_BECAUSE = {
    _blob_index.SIZES_DIFFER: "stored and original size of an uncompressed resource differ",
    _blob_index.OUTSIDE_SOLID: "the blob lies in no solid resource of its run",
    _blob_index.METADATA_SHARED: "a metadata resource with more than one reference",
    _blob_index.METADATA_IN_SOLID: "a metadata resource inside a solid resource",
    _blob_index.OVERLAP: "the blob overlaps another one of its solid resource",
}


@dataclass(frozen=True, slots=True)
class BlobRow:
    """One entry as it lies on disk, 50 bytes."""

    resource: ResourceHeader
    part_number: int
    reference_count: int
    """As stored; other programs write numbers that are too low, so never free by it."""

    sha1: bytes

    @classmethod
    def parse(cls, buffer: Buffer, offset: int = 0) -> BlobRow:
        """Read 50 bytes at ``offset`` of ``buffer``."""
        return cls(
            ResourceHeader.parse(buffer, offset),
            *_TAIL.unpack_from(buffer, offset + RESOURCE_HEADER_NBYTES),
        )

    def pack(self) -> bytes:
        """Return the 50 bytes."""
        tail = _TAIL.pack(self.part_number, self.reference_count, self.sha1)
        return self.resource.pack() + tail


@dataclass(frozen=True, slots=True)
class BlobTable:
    """The blob table of one file: rows by number from 0, found by SHA-1.

    Of rows with one hash the first counts. A blob whose place cannot be (outside the file, or too
    small for its size) is found as well: ``is_usable`` tells, and opening it says what is wrong.
    """

    index: BlobIndex
    solids: tuple[SolidResource, ...]
    warnings: tuple[str, ...] = field(default=())

    @classmethod
    def parse(
        cls, rows: bytes, *, file: FileBytes, header: Header, chunk_size: int, limits: Limits
    ) -> BlobTable:
        """Classify the rows of a table; headers of solid resources are read from the file.

        Args:
            rows: The table's bytes; a fragment of a row at the end is ignored.
            file: The file that holds it.
            header: The file's header.
            chunk_size: The chunk size of non-solid resources, 0 when uncompressed.
            limits: What solid chunk size to accept.

        Raises:
            BlobTableError: An entry is impossible.
            PipableError: A pipable file with solid resources.
            TruncatedError: The header of a solid resource lies outside the file.
            CompressionTypeError: A solid resource names no known codec.
            ChunkSizeError: A solid resource has an impossible chunk size.
            LimitError: Too many solid resources, or one has chunks over the limit.
        """
        solid_allowed = header.version is WimVersion.SOLID
        solids = _load_solids(rows, file, limits) if solid_allowed else ()
        if solids and header.is_pipable:
            raise PipableError(
                "a pipable file cannot have solid resources",
                path=file.path,
                structure=f"blob table entry {solids[0].row}",
                offset_in_file=header.blob_table.offset_in_wim + solids[0].row * ROW_NBYTES,
            )
        record = PIPABLE_RECORD_NBYTES if header.is_pipable else 0
        index = BlobIndex(
            rows,
            solid_allowed=solid_allowed,
            part_number=header.part_number,
            image_count=header.image_count,
            smallest_offset=HEADER_NBYTES + record,
            file_size=file.size,
            chunk_size=chunk_size,
            chunk_overhead=4 if header.is_pipable else 0,
            solids=[
                (solid.run, solid.base_offset, solid.uncompressed_size, solid.is_usable)
                for solid in solids
            ],
        )
        if index.failure is not None:
            status, row = index.failure
            raise BlobTableError(
                _REFUSED_BECAUSE[status],
                path=file.path,
                structure=f"blob table entry {row}",
                offset_in_file=header.blob_table.offset_in_wim + row * ROW_NBYTES,
            )
        return cls(index, solids, tuple(_warnings(index, len(rows))))

    @property
    def metadata_rows(self) -> list[int]:
        """Rows of metadata resources; that of image i is at position i - 1."""
        return self.index.metadata_rows

    @property
    def row_count(self) -> int:
        """Rows of the table on disk, ignored ones included."""
        return self.index.row_count

    @property
    def blob_count(self) -> int:
        """Blobs that can be found, metadata resources aside."""
        return self.index.blob_count

    def find(self, sha1: bytes) -> int:
        """Return the row of a blob, or -1."""
        return self.index.find(sha1)

    def size(self, row: int) -> int:
        """Return the uncompressed size of a blob in bytes, at most 2**63 - 1."""
        return min(self.index.size(row), MAX_FILE_SIZE)

    def row(self, row: int) -> BlobRow:
        """Return an entry as it lies on disk."""
        if not 0 <= row < self.index.row_count:
            raise IndexError(row)
        return BlobRow.parse(self.index.rows, row * ROW_NBYTES)

    def solid_of(self, row: int) -> SolidResource | None:
        """Return the solid resource that holds a blob, or None for a blob on its own."""
        position = self.index.solid_index(row)
        return None if position < 0 else self.solids[position]

    def blob_rows(self) -> Iterator[int]:
        """Yield the rows of the blobs that can be found, in table order."""
        row_class = self.index.row_class
        blob = _blob_index.BLOB
        return (row for row in range(self.index.row_count) if row_class(row) == blob)

    def blob_rows_in_file_order(self) -> list[int]:
        """Return the same rows by place: blobs on their own first, then solid ones."""
        return self.index.rows_in_file_order()


def _load_solids(rows: bytes, file: FileBytes, limits: Limits) -> tuple[SolidResource, ...]:
    places = solid_resource_rows(rows)
    if len(places) > limits.solid_resources:
        raise LimitError(
            f"{len(places)} solid resources are over the limit of {limits.solid_resources}",
            path=file.path,
            structure="blob table",
        )
    solids: list[SolidResource] = []
    base_offset = 0
    for row, run in places:
        if not solids or solids[-1].run != run:
            base_offset = 0
        header = ResourceHeader.parse(rows, row * ROW_NBYTES)
        solid = load_solid_resource(
            file, header, row=row, run=run, base_offset=base_offset, limits=limits
        )
        solids.append(solid)
        base_offset += solid.uncompressed_size
    return tuple(solids)


def _warnings(index: BlobIndex, nbytes: int) -> Iterator[str]:
    for reason, count in enumerate(index.ignored_counts):
        if count and reason not in _SILENT:
            yield f"{count} blob table entries ignored: they {_IGNORED_BECAUSE[reason]}"
    if nbytes % ROW_NBYTES:
        yield f"the last {nbytes % ROW_NBYTES} bytes of the blob table are no entry"
