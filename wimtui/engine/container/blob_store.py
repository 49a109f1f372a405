"""Blobs by SHA-1, from one or several WIM files: the main one, other parts, references."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.container._small_blobs import SmallBlobs
from wimtui.engine.container.chunk_loader import ChunkLoader
from wimtui.engine.container.flags import EMPTY_HASH, EMPTY_SHA1, ResourceFlag
from wimtui.engine.container.open_blob import ChunkedBlob, EmptyBlob, RawBlob
from wimtui.engine.container.parts import missing_blob_reason
from wimtui.engine.container.read_ahead import ReadAhead
from wimtui.engine.container.resource_reader import RawResource, read_whole
from wimtui.engine.errors import (
    BlobHashError,
    LimitError,
    MetadataError,
    MissingBlobError,
    NoMetadataError,
    NoSuchImageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wimtui.engine.container._small_blobs import SmallBlob
    from wimtui.engine.container.resource_reader import ChunkedResource
    from wimtui.engine.container.solid import SolidResource
    from wimtui.engine.container.wim_file import WimFile
    from wimtui.engine.tree import OpenFile

_RECENT_NBYTES = 1 << 22
"""Small blobs, decoded or about to be, that all files together keep known."""

_RECENT_LEAST_NBYTES = 1 << 17


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """One blob as `info --blobs` shows it."""

    sha1: bytes
    uncompressed_size: int
    stored_size: int
    """Stored bytes of its resource; for a blob in a solid resource its uncompressed size."""

    offset: int
    """Offset in the file; in a solid run the logical offset."""

    flags: ResourceFlag
    part_number: int
    reference_count: int
    path: str
    """The file that holds it."""

    row: int
    solid: SolidResource | None

    @property
    def is_metadata(self) -> bool:
        """Whether it is an image's metadata resource."""
        return bool(self.flags & ResourceFlag.METADATA)

    @property
    def offset_in_resource(self) -> int:
        """Offset in its solid resource; 0 for a blob on its own."""
        return 0 if self.solid is None else self.offset - self.solid.base_offset


class BlobStore:
    """Finds and opens blobs. Safe to use from several threads.

    A blob in several files is read from the first that holds it whole. The zero hash is always the
    empty stream; so is the SHA-1 of nothing where no table has it.
    """

    def __init__(
        self, main: WimFile, others: Sequence[WimFile] = (), *, loader: ChunkLoader | None = None
    ) -> None:
        """Look in ``main`` first, then in ``others`` in their order.

        Without a ``loader`` the store makes one of its own and closes it with itself. The files
        become the store's to close.
        """
        self.main = main
        self.files: tuple[WimFile, ...] = (main, *others)
        self.loader = ChunkLoader() if loader is None else loader
        self._owns_loader = loader is None
        self._solid: dict[tuple[int, int], tuple[ChunkedResource, ReadAhead]] = {}
        self._solid_lock = threading.Lock()
        for wim in self.files:
            self.loader.allow_big_chunks(wim.file.size)
        self._small = {wim.file.number: self._small_blobs_of(wim) for wim in self.files}

    def size(self, sha1: bytes) -> int | None:
        """Return the uncompressed size of a blob in bytes, or None where no file has it."""
        found = self._find(sha1)
        if found is None:
            return 0 if sha1 in {EMPTY_HASH, EMPTY_SHA1} else None
        wim, row = found
        return wim.blob_table.size(row)

    def stored_size(self, sha1: bytes) -> int:
        """Return how many bytes a blob takes on disk, 0 where no file has it.

        For a blob in a solid resource that is its uncompressed size.
        """
        found = self._find(sha1)
        if found is None:
            return 0
        wim, row = found
        return wim.blob_table.index.stored_size(row)

    def open(self, sha1: bytes) -> OpenFile:
        """Open a blob for reading; little or nothing is read yet.

        Raises:
            MissingBlobError: No file has it.
            CorruptResourceError: Its sizes contradict each other.
            CompressionTypeError: It is compressed in a file that names no codec.
        """
        found = self._find(sha1)
        if found is None:
            if sha1 in {EMPTY_HASH, EMPTY_SHA1}:
                return EmptyBlob()
            reason, hint = missing_blob_reason(self.files)
            raise MissingBlobError(
                f"blob {sha1.hex()} is in no file: {reason}", path=self.main.path, hint=hint
            )
        wim, row = found
        small = self._small[wim.file.number].open(row)
        if small is not None:
            return small
        table = wim.blob_table
        raw = table.index.raw_place(row)
        if raw is not None:
            return RawBlob(RawResource(wim.file, *raw))
        solid = table.solid_of(row)
        if solid is not None:
            return self._open_in_solid(wim, row, solid)
        resource = wim.open_resource(table.row(row).resource)
        if isinstance(resource, RawResource):
            return RawBlob(resource)
        ahead = ReadAhead(self.loader, resource, 0, resource.chunk_count - 1)
        return ChunkedBlob(
            self.loader,
            resource,
            ahead,
            offset_in_resource=0,
            size=resource.uncompressed_size,
            owns_ahead=True,
        )

    def load_ahead(self, hashes: Sequence[bytes], is_wanted: Callable[[], bool]) -> None:
        """Decode small blobs on another thread, for whoever opens them soon.

        Larger blobs are left alone: they are read ahead when they are read. ``is_wanted`` is asked
        before each blob begins.
        """
        blobs = []
        for sha1 in hashes:
            found = self._find(sha1)
            if found is not None:
                wim, row = found
                blob = self._small[wim.file.number].open(row)
                if blob is not None:
                    blobs.append(blob)
        if blobs:
            self.loader.submit(_load_while, blobs, is_wanted)

    def absent(self, hashes: bytes) -> bytes:
        """Return those of many hashes (20 bytes each, without separator) that no file has."""
        for wim in self.files:
            hashes = wim.blob_table.index.absent(hashes)
        return hashes

    def read_all(self, sha1: bytes, max_size: int) -> bytes:
        """Return the whole of a blob, verified.

        Raises:
            LimitError: It is larger than ``max_size`` bytes.
            BlobHashError: Its bytes have another SHA-1.
            MissingBlobError: No file has it.
            CorruptResourceError: It does not decode.
        """
        size = self.size(sha1)
        if size is not None and size > max_size:
            raise LimitError(
                f"blob {sha1.hex()} has {size} bytes, {max_size} are the most that is read here",
                path=self.main.path,
            )
        blob = self.open(sha1)
        try:
            data = blob.read(0, size or 0)
        finally:
            blob.close()
        if data and hashlib.sha1(data, usedforsecurity=False).digest() != sha1:
            raise BlobHashError(f"checksum mismatch for blob {sha1.hex()}", path=self.main.path)
        return data

    def describe(self, sha1: bytes) -> BlobInfo | None:
        """Return what the table says of a blob, or None where no file has it."""
        found = self._find(sha1)
        return None if found is None else blob_info(*found)

    def blobs(self) -> Iterator[BlobInfo]:
        """Yield the main file's metadata resources, then every blob once, in table order."""
        for row in self.main.blob_table.metadata_rows:
            yield blob_info(self.main, row)
        for position, wim in enumerate(self.files):
            earlier = self.files[:position]
            for row in wim.blob_table.blob_rows():
                sha1 = wim.blob_table.index.sha1(row)
                if all(other.blob_table.find(sha1) < 0 for other in earlier):
                    yield blob_info(wim, row)

    def metadata_resource(self, image_index: int) -> bytes:
        """Return the bytes of an image's metadata resource, verified.

        Raises:
            NoSuchImageError: The file has no image of that 1-based index.
            NoMetadataError: It holds no metadata: a later part of a split set.
            MetadataError: Implausibly large, or its SHA-1 differs.
            LimitError: Larger than the limits allow.
            CorruptResourceError: It does not decode.
        """
        info = self.metadata_info(image_index)
        wim = self.main
        structure = f"metadata resource of image {image_index}"
        size = info.uncompressed_size
        if size > 512 * wim.file.size:
            raise MetadataError(
                f"{size} bytes are implausible in a file of {wim.file.size}",
                path=wim.path,
                structure=structure,
                offset_in_file=info.offset,
            )
        limit = wim.limits.largest_metadata(wim.file.size)
        if size > limit:
            raise LimitError(
                f"{size} bytes are over the limit of {limit}",
                path=wim.path,
                structure=structure,
                offset_in_file=info.offset,
                hint=f"open the file with --max-metadata-size={size} if its source is trusted",
            )
        resource = wim.open_resource(wim.blob_table.row(info.row).resource)
        data = read_whole(resource, self.loader.decompressors)
        if hashlib.sha1(data, usedforsecurity=False).digest() != info.sha1:
            raise MetadataError(
                "its bytes do not have the SHA-1 that the blob table gives",
                path=wim.path,
                structure=structure,
                offset_in_file=info.offset,
            )
        return data

    def metadata_info(self, image_index: int) -> BlobInfo:
        """Return what the blob table says of an image's metadata resource.

        Raises:
            NoSuchImageError: The file has no image of that 1-based index.
            NoMetadataError: It holds no metadata: a later part of a split set.
        """
        header = self.main.header
        if header.part_number != 1:
            raise NoMetadataError(
                f"part {header.part_number} of {header.total_parts} holds no image metadata",
                path=self.main.path,
                hint="open part 1 and give the others as references",
            )
        if not 1 <= image_index <= header.image_count:
            raise NoSuchImageError(
                f"there is no image {image_index}, the file has {header.image_count}",
                path=self.main.path,
            )
        rows = self.main.blob_table.metadata_rows
        if image_index > len(rows):
            raise NoMetadataError(f"image {image_index} has no metadata", path=self.main.path)
        return blob_info(self.main, rows[image_index - 1])

    def close(self) -> None:
        """Stop decoding ahead, drop the chunks of the store's files, and close them."""
        for _, ahead in self._solid.values():
            ahead.drop()
        if self._owns_loader:
            self.loader.close()
        for small in self._small.values():
            small.forget()
        for wim in self.files:
            self.loader.cache.forget_file(wim.file.number)
            wim.close()

    def _small_blobs_of(self, wim: WimFile) -> SmallBlobs:
        return SmallBlobs(
            wim.file,
            wim.blob_table.index,
            wim.codec,
            wim.chunk_size,
            self.loader.decompressors,
            is_pipable=wim.header.is_pipable,
            recent_nbytes=max(_RECENT_NBYTES // len(self.files), _RECENT_LEAST_NBYTES),
        )

    def _find(self, sha1: bytes) -> tuple[WimFile, int] | None:
        first = None
        for wim in self.files:
            row = wim.blob_table.find(sha1)
            if row >= 0:
                if wim.blob_table.index.is_usable(row):
                    return wim, row
                first = first or (wim, row)
        return first

    def _open_in_solid(self, wim: WimFile, row: int, solid: SolidResource) -> OpenFile:
        resource, ahead = self._solid_resource(wim, solid)
        offset = wim.blob_table.row(row).resource.offset_in_wim - solid.base_offset
        return ChunkedBlob(
            self.loader,
            resource,
            ahead,
            offset_in_resource=offset,
            size=wim.blob_table.size(row),
            owns_ahead=False,
        )

    def _solid_resource(
        self, wim: WimFile, solid: SolidResource
    ) -> tuple[ChunkedResource, ReadAhead]:
        """Return the one reader of a solid resource, with its chunk table and its read-ahead."""
        key = (wim.file.number, solid.row)
        with self._solid_lock:
            known = self._solid.get(key)
            if known is None:
                resource = solid.open(wim.file)
                ahead = ReadAhead(self.loader, resource, 0, resource.chunk_count - 1)
                known = self._solid[key] = (resource, ahead)
        return known


def _load_while(blobs: Sequence[SmallBlob], is_wanted: Callable[[], bool]) -> None:
    for blob in blobs:
        if not is_wanted() or not blob.load_ahead():
            return


def blob_info(wim: WimFile, row: int) -> BlobInfo:
    """Return what a file's table says of one row."""
    table = wim.blob_table
    entry = table.row(row)
    return BlobInfo(
        sha1=entry.sha1,
        uncompressed_size=table.size(row),
        stored_size=entry.resource.size_in_wim,
        offset=entry.resource.offset_in_wim,
        flags=entry.resource.flags,
        part_number=entry.part_number,
        reference_count=entry.reference_count,
        path=wim.path,
        row=row,
        solid=table.solid_of(row),
    )
