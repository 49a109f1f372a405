"""What a rebuild takes from the old file: copied as it is stored, or decoded and written anew."""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wimtui.engine.commit.blob_paths import BlobPaths, planned_images
from wimtui.engine.commit.sources import StoredSource
from wimtui.engine.commit.table import SolidBlob
from wimtui.engine.container._blob_index import ROW_NBYTES
from wimtui.engine.image.blobs import ZERO_SHA1

if TYPE_CHECKING:
    from wimtui.engine.archive import Archive
    from wimtui.engine.codecs.base import CodecId
    from wimtui.engine.commit.output import Output
    from wimtui.engine.commit.output_format import OutputFormat
    from wimtui.engine.commit.plan import NewBlob, Plan
    from wimtui.engine.commit.reporter import Reporter
    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.container.resource import ResourceHeader
    from wimtui.engine.container.solid import SolidResource

_PLACE = struct.Struct("<QQ")
_SIZE = (1 << 56) - 1
"""The stored size in the first eight bytes of a row; the flags are above it."""


@dataclass(slots=True)
class Extent:
    """Resources that lie side by side in the old file, and are copied in one go."""

    offset_in_wim: int
    size: int
    rows: list[int]
    """Their rows of the old table."""


@dataclass(frozen=True, slots=True)
class CopiedSolid:
    """A solid resource to be copied whole, with the blobs of it that are in use."""

    solid: SolidResource
    blobs: list[SolidBlob]


@dataclass(slots=True)
class Carried:
    """The old file's blobs that are in use, by what becomes of them."""

    copied: list[Extent] = field(default_factory=list)
    """In the order of the old file."""
    copied_solids: list[CopiedSolid] = field(default_factory=list)
    rewritten: list[tuple[bytes, BlobSource]] = field(default_factory=list)
    """Decoded and written as blobs on their own, in the order of the old file."""
    packed: list[tuple[bytes, BlobSource]] = field(default_factory=list)
    """Decoded and written into a solid resource."""
    recoded: set[CodecId] = field(default_factory=set)
    """Codecs of solid resources whose blobs are packed with another one."""
    dropped: int = 0

    @property
    def copied_nbytes(self) -> int:
        """Stored bytes to copy."""
        plain = sum(extent.size for extent in self.copied)
        return plain + sum(solid.solid.size_in_wim for solid in self.copied_solids)

    @property
    def encoded_nbytes(self) -> int:
        """Uncompressed bytes to write anew."""
        return sum(source.size for _, source in (*self.rewritten, *self.packed))

    @property
    def copied_blobs(self) -> int:
        """Blobs that are copied."""
        plain = sum(len(extent.rows) for extent in self.copied)
        return plain + sum(len(solid.blobs) for solid in self.copied_solids)

    def copy_plain(self, row: int, offset_in_wim: int, size: int) -> None:
        """Have a resource on its own copied; called in the order of the old file."""
        last = self.copied[-1] if self.copied else None
        if last is not None and last.offset_in_wim + last.size == offset_in_wim:
            last.size += size
            last.rows.append(row)
        else:
            self.copied.append(Extent(offset_in_wim, size, [row]))


def carry(archive: Archive, plan: Plan, form: OutputFormat) -> Carried:
    """Sort the old file's blobs.

    A resource is copied where codec and chunk size are those of the output. A solid resource is
    copied where over two thirds of it are in use, and else packed anew.
    """
    wim = archive.wim
    table = wim.blob_table
    index = table.index
    new = {blob.sha1 for blob in plan.new_blobs}
    carried = Carried()
    paths = BlobPaths(archive, plan)
    by_solid: dict[int, list[SolidBlob]] = defaultdict(list)
    may_copy = not form.recompress and not form.solid and not wim.header.is_pipable
    may_copy &= (form.codec, form.chunk_size) == (wim.codec, wim.chunk_size)
    for number in table.blob_rows_in_file_order():
        sha1 = index.sha1(number)
        count = plan.references.get(sha1, 0)
        if sha1 in new:
            continue
        if not count and not plan.keeps_all_blobs:
            carried.dropped += 1
            continue
        position = index.solid_index(number)
        if position >= 0:
            row = table.row(number)
            count = max(count, row.reference_count) if plan.keeps_all_blobs else count
            start = row.resource.offset_in_wim - table.solids[position].base_offset
            by_solid[position].append(SolidBlob(start, row.resource.size_in_wim, sha1, count))
        elif may_copy and index.is_usable(number):
            size_and_flags, offset_in_wim = _PLACE.unpack_from(index.rows, number * ROW_NBYTES)
            carried.copy_plain(number, offset_in_wim, size_and_flags & _SIZE)
        else:
            source = StoredSource(archive.blobs, sha1, table.size(number), paths.find)
            (carried.packed if form.solid else carried.rewritten).append((sha1, source))
    for position, blobs in by_solid.items():
        solid = table.solids[position]
        used = sum(blob.size for blob in blobs)
        if not form.recompress and 3 * used > 2 * solid.uncompressed_size and solid.is_usable:
            carried.copied_solids.append(CopiedSolid(solid, blobs))
        else:
            if solid.codec is not form.solid_codec:
                carried.recoded.add(solid.codec)
            carried.packed += [
                (blob.sha1, StoredSource(archive.blobs, blob.sha1, blob.size, paths.find))
                for blob in blobs
            ]
    return carried


def copy_resource(
    archive: Archive, resource: ResourceHeader, output: Output, reporter: Reporter
) -> ResourceHeader:
    """Copy the stored bytes of a resource; return where they lie.

    Raises:
        TruncatedError: The old file ends before.
        WriteFailedError: They cannot be written.
        CancelledError: Stopped.
    """
    offset = output.position
    copy_bytes(archive, resource.offset_in_wim, resource.size_in_wim, output, reporter)
    return replace(resource, offset_in_wim=offset)


def copy_bytes(
    archive: Archive, offset_in_wim: int, nbytes: int, output: Output, reporter: Reporter
) -> None:
    """Copy bytes of the old file. Raises what ``copy_resource`` does."""

    def count(done: int) -> None:
        reporter.advance(done)
        reporter.check()

    output.copy(archive.wim.file, offset_in_wim, nbytes, count)


def in_packing_order(
    blobs: list[tuple[bytes, BlobSource]], new: list[NewBlob], names: dict[bytes, bytes]
) -> list[tuple[bytes, BlobSource]]:
    """Return blobs with those of like names side by side, where they share the most."""
    every = [*blobs, *((blob.sha1, blob.source) for blob in new)]

    def key(item: tuple[bytes, BlobSource]) -> tuple[bytes, bytes, int]:
        name = names.get(item[0], b"").lower()
        stem, dot, extension = name.rpartition(b".")
        return (extension if dot else b"", stem if dot else name, item[1].size)

    return sorted(every, key=key)


def names_of_blobs(archive: Archive | None, plan: Plan) -> dict[bytes, bytes]:
    """Return one file name for each blob, to put like with like."""
    names: dict[bytes, bytes] = {}
    for metadata in planned_images(archive, plan):
        columns = metadata.columns
        for ino in range(1, columns.inode_count + 1):
            name = columns.name(columns.first_dentry(ino))
            for sha1 in columns.stream_hashes(ino):
                if sha1 != ZERO_SHA1:
                    names.setdefault(sha1, name)
    return names
