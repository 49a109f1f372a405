"""A WIM writer for tests: valid files from parts, and any field of them broken on purpose.

Put images (raw metadata bytes), blobs and solid runs in, ``build()``, and get a ``BuiltWim``: the
bytes, where everything lies, and methods that overwrite one field. A valid file needs no more than

    builder = WimBuilder(codec=CodecId.LZX)
    builder.add_image(b"metadata", name="first")
    sha1 = builder.add_blob(b"data" * 1000)
    path = builder.build().write(tmp_path / "a.wim")

and a broken one a patch in between:

    wim = builder.build()
    wim.patch_row(1, offset_in_wim=1 << 40)
    wim.patch_header(boot_index=9)
    wim.write(tmp_path / "bad.wim")
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.codecs.factory import open_compressor
from wimtui.engine.container.blob_table import BlobRow
from wimtui.engine.container.compression import CODEC_FLAGS
from wimtui.engine.container.flags import EMPTY_HASH, HeaderFlag, ResourceFlag, WimVersion
from wimtui.engine.container.header import Header
from wimtui.engine.container.resource import NO_RESOURCE, ResourceHeader
from wimtui.engine.container.solid import SOLID_MARKER, SolidHeader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Compress = Callable[[bytes], bytes | None]

NO_FLAGS = HeaderFlag(0)
PIPABLE_RECORD_MAGIC = 0x2B9B9BA2443DB9D8
DEFAULT_CHUNK_SIZES = {
    CodecId.NONE: 0,
    CodecId.XPRESS: 32768,
    CodecId.LZX: 32768,
    CodecId.LZMS: 131072,
}


def sha1_of(data: bytes) -> bytes:
    """SHA-1 as a blob table wants it: of nothing it is the zero hash."""
    return hashlib.sha1(data, usedforsecurity=False).digest() if data else EMPTY_HASH


def kernel_compress(codec: CodecId, chunk_size: int) -> Compress:
    """The product's own compressor at a fast level."""
    compressor = open_compressor(codec, chunk_size, 20)
    return compressor.compress


def store_raw(data: bytes) -> None:
    """A compress function for chunks that are all stored raw."""


def encode_chunks(data: bytes, chunk_size: int, compress: Compress) -> list[bytes]:
    """Stored chunks: compressed where that is smaller, else raw."""
    stored = []
    for start in range(0, len(data), chunk_size):
        chunk = data[start : start + chunk_size]
        stored.append(compress(chunk) or chunk)
    return stored


def pack_plain_resource(chunks: Sequence[bytes], uncompressed_size: int) -> bytes:
    """Chunk table and chunks of a non-solid resource."""
    width = "Q" if uncompressed_size >= 1 << 32 else "I"
    offsets = _offsets(chunks)
    return struct.pack(f"<{len(offsets)}{width}", *offsets) + b"".join(chunks)


def pack_pipable_resource(chunks: Sequence[bytes], uncompressed_size: int) -> bytes:
    """Chunks with their sizes before them, and the chunk table at the end."""
    width = "Q" if uncompressed_size >= 1 << 32 else "I"
    offsets = _offsets(chunks)
    body = b"".join(struct.pack("<I", len(chunk)) + chunk for chunk in chunks)
    return body + struct.pack(f"<{len(offsets)}{width}", *offsets)


def pack_solid_resource(
    chunks: Sequence[bytes], uncompressed_size: int, chunk_size: int, codec: int
) -> bytes:
    """Header, table of stored sizes, and chunks of a solid resource."""
    header = SolidHeader(uncompressed_size, chunk_size, codec).pack()
    sizes = [len(chunk) for chunk in chunks]
    return header + struct.pack(f"<{len(sizes)}I", *sizes) + b"".join(chunks)


def _offsets(chunks: Sequence[bytes]) -> list[int]:
    """Offsets of all chunks but the first, from the first one's start."""
    offsets = []
    total = 0
    for chunk in chunks[:-1]:
        total += len(chunk)
        offsets.append(total)
    return offsets


def xml_document(image_names: Sequence[str | None], extra: str = "") -> str:
    """The smallest document for images of these names; ``extra`` goes before ``</WIM>``."""
    images = "".join(
        f'<IMAGE INDEX="{index}">' + (f"<NAME>{name}</NAME>" if name else "") + "</IMAGE>"
        for index, name in enumerate(image_names, 1)
    )
    return f"<WIM>{images}{extra}</WIM>"


@dataclass
class BuiltWim:
    """A file in memory: its bytes and where its parts lie."""

    data: bytearray
    header: Header
    rows: list[BlobRow]
    """Entries of the blob table, in table order."""

    rows_offset: int
    xml_offset: int
    solid_offsets: list[int] = field(default_factory=list)
    """Where each solid resource begins."""

    def patch(self, offset: int, data: bytes) -> BuiltWim:
        """Overwrite bytes anywhere."""
        self.data[offset : offset + len(data)] = data
        return self

    def patch_header(self, **fields: Any) -> BuiltWim:
        """Change fields of Header (in both headers of a pipable file)."""
        self.header = replace(self.header, **fields)
        packed = self.header.pack()
        if self.header.is_pipable:
            self.patch(len(self.data) - len(packed), packed)
        return self.patch(0, packed)

    def patch_row(self, row: int, **fields: Any) -> BuiltWim:
        """Change fields of an entry: those of ResourceHeader and those of BlobRow."""
        old = self.rows[row]
        in_resource = {
            name: fields.pop(name)
            for name in ("size_in_wim", "flags", "offset_in_wim", "uncompressed_size")
            if name in fields
        }
        if "flags" in in_resource:
            in_resource["flags"] = ResourceFlag(in_resource["flags"])
        self.rows[row] = replace(old, resource=replace(old.resource, **in_resource), **fields)
        return self.patch(self.rows_offset + 50 * row, self.rows[row].pack())

    def row_of(self, sha1: bytes) -> int:
        """The first entry with that hash."""
        return next(row for row, entry in enumerate(self.rows) if entry.sha1 == sha1)

    def write(self, path: Path) -> Path:
        """Write the file and return its path."""
        path.write_bytes(self.data)
        return path


@dataclass
class _Item:
    """Something that gets bytes and an entry."""

    data: bytes
    flags: ResourceFlag
    reference_count: int
    sha1: bytes
    compress: bool


@dataclass
class _SolidRun:
    """One or more solid resources and the blobs in them, a run of the table."""

    resources: list[tuple[bytes, CodecId, int, Compress]]
    blobs: list[tuple[bytes, int, int, int]]
    """Hash, logical offset, size, reference count."""

    entries_first: bool


@dataclass
class WimBuilder:
    """Collects the parts of a WIM. Every field may be set to what no sane writer would write."""

    codec: CodecId = CodecId.NONE
    chunk_size: int | None = None
    """None takes the codec's usual one."""

    version: int | None = None
    """None takes 0x0E00 where LZMS or a solid run needs it."""

    extra_flags: HeaderFlag = NO_FLAGS
    guid: bytes = bytes(range(16))
    part_number: int = 1
    total_parts: int = 1
    boot_index: int = 0
    is_pipable: bool = False
    xml: str | bytes | None = None
    """Replaces the document; bytes are stored as they are, text as UTF-16LE with its mark."""

    image_count: int | None = None
    """Replaces the header's image count."""

    integrity_piece_size: int | None = None
    """Adds an integrity table with pieces of that size."""

    compress: Compress | None = None
    """Replaces the compressor; ``store_raw`` needs no kernel."""

    extra_rows: list[BlobRow] = field(default_factory=list)
    """Entries put at the end of the table as they are."""

    trailing: bytes = b""
    """Bytes after everything (before the trailing header of a pipable file)."""

    def __post_init__(self) -> None:
        self._items: list[_Item | _SolidRun] = []
        self._image_names: list[str | None] = []

    def add_image(
        self, metadata: bytes, *, name: str | None = None, compress: bool = True
    ) -> bytes:
        """Add an image by the bytes of its metadata resource; return their hash."""
        self._image_names.append(name)
        return self._add(metadata, ResourceFlag.METADATA, 1, None, compress)

    def add_image_name(self, name: str | None = None) -> None:
        """Mention an image in XML and header only, as later parts of split sets do."""
        self._image_names.append(name)

    def add_blob(
        self,
        data: bytes,
        *,
        reference_count: int = 1,
        sha1: bytes | None = None,
        compress: bool = True,
    ) -> bytes:
        """Add a blob on its own; ``sha1`` replaces its hash. Returns the hash."""
        return self._add(data, ResourceFlag.NONE, reference_count, sha1, compress)

    def add_solid(
        self,
        *resources: Sequence[bytes],
        codec: CodecId = CodecId.LZMS,
        chunk_size: int = 1 << 17,
        reverse_blobs: bool = False,
        entries_first: bool = True,
    ) -> list[bytes]:
        """Add a run of solid resources, each given as its blobs in order; return their hashes.

        ``entries_first`` puts all resource entries before all blob entries, as Microsoft does.
        """
        run = _SolidRun([], [], entries_first)
        offset = 0
        for blobs in resources:
            compress = self.compress or kernel_compress(codec, chunk_size)
            run.resources.append((b"".join(blobs), codec, chunk_size, compress))
            for data in blobs:
                run.blobs.append((sha1_of(data), offset, len(data), 1))
                offset += len(data)
        hashes = [sha1 for sha1, *_ in run.blobs]
        if reverse_blobs:
            run.blobs.reverse()
        self._items.append(run)
        return hashes

    def build(self) -> BuiltWim:
        """Return the file."""
        return _Layout(self).build()

    def _add(
        self,
        data: bytes,
        flags: ResourceFlag,
        reference_count: int,
        sha1: bytes | None,
        compress: bool,
    ) -> bytes:
        item = _Item(data, flags, reference_count, sha1 or sha1_of(data), compress)
        self._items.append(item)
        return item.sha1


class _Layout:
    """Places the parts of one file."""

    def __init__(self, builder: WimBuilder) -> None:
        self.builder = builder
        self.data = bytearray(208)
        self.rows: list[BlobRow] = []
        self.solid_offsets: list[int] = []
        chunk_size = builder.chunk_size
        self.chunk_size = DEFAULT_CHUNK_SIZES[builder.codec] if chunk_size is None else chunk_size

    def build(self) -> BuiltWim:
        builder = self.builder
        for item in builder._items:
            if isinstance(item, _SolidRun):
                self._place_solid(item)
            else:
                resource = self._place(item.data, item.flags, item.compress)
                self._add_row(resource, item.reference_count, item.sha1)
        self.rows += builder.extra_rows
        table = b"".join(row.pack() for row in self.rows)
        blob_table = self._place(table, ResourceFlag.METADATA, False) if table else NO_RESOURCE
        xml_data = self._place(self._xml(), ResourceFlag.METADATA, False)
        integrity = self._place_integrity(blob_table)
        self.data += builder.trailing
        header = self._header(blob_table, xml_data, integrity)
        if builder.is_pipable:
            leading = replace(
                header, blob_table=NO_RESOURCE, xml_data=NO_RESOURCE, integrity=NO_RESOURCE
            )
            self.data[:208] = leading.pack()
            self.data += header.pack()
        else:
            self.data[:208] = header.pack()
        return BuiltWim(
            self.data,
            header,
            self.rows,
            blob_table.offset_in_wim,
            xml_data.offset_in_wim,
            self.solid_offsets,
        )

    def _header(
        self, blob_table: ResourceHeader, xml_data: ResourceHeader, integrity: ResourceHeader
    ) -> Header:
        builder = self.builder
        metadata = [row for row in self.rows if row.resource.flags & ResourceFlag.METADATA]
        boot = NO_RESOURCE
        if 1 <= builder.boot_index <= len(metadata):
            boot = metadata[builder.boot_index - 1].resource
        version = builder.version
        if version is None:
            needs_solid = builder.codec is CodecId.LZMS or bool(self.solid_offsets)
            version = WimVersion.SOLID if needs_solid else WimVersion.DEFAULT
        spanned = HeaderFlag.SPANNED if builder.total_parts != 1 else NO_FLAGS
        count = len(builder._image_names)
        return Header(
            is_pipable=builder.is_pipable,
            version=WimVersion(version),
            flags=CODEC_FLAGS[builder.codec] | builder.extra_flags | spanned,
            chunk_size=self.chunk_size,
            guid=builder.guid,
            part_number=builder.part_number,
            total_parts=builder.total_parts,
            image_count=count if builder.image_count is None else builder.image_count,
            blob_table=blob_table,
            xml_data=xml_data,
            boot_metadata=boot,
            boot_index=builder.boot_index,
            integrity=integrity,
        )

    def _place(self, data: bytes, flags: ResourceFlag, compress: bool) -> ResourceHeader:
        """Append a resource, compressed where that is smaller (always, in a pipable file)."""
        builder = self.builder
        stored = data
        if compress and data and builder.codec is not CodecId.NONE:
            packed = self._packed(data)
            if builder.is_pipable or len(packed) < len(data):
                stored = packed
                flags |= ResourceFlag.COMPRESSED
        if builder.is_pipable:
            self.data += struct.pack(
                "<QQ20sI", PIPABLE_RECORD_MAGIC, len(data), sha1_of(data), int(flags)
            )
        offset = len(self.data)
        self.data += stored
        return ResourceHeader(len(stored), flags, offset, len(data))

    def _packed(self, data: bytes) -> bytes:
        builder = self.builder
        compress = builder.compress or kernel_compress(builder.codec, self.chunk_size)
        chunks = encode_chunks(data, self.chunk_size, compress)
        pack = pack_pipable_resource if builder.is_pipable else pack_plain_resource
        return pack(chunks, len(data))

    def _place_solid(self, run: _SolidRun) -> None:
        entries = []
        for data, codec, chunk_size, compress in run.resources:
            chunks = encode_chunks(data, chunk_size, compress)
            packed = pack_solid_resource(chunks, len(data), chunk_size, codec)
            offset = len(self.data)
            self.solid_offsets.append(offset)
            self.data += packed
            entries.append(ResourceHeader(len(packed), ResourceFlag.SOLID, offset, SOLID_MARKER))
        blobs = [
            (ResourceHeader(size, ResourceFlag.SOLID, offset, 0), references, sha1)
            for sha1, offset, size, references in run.blobs
        ]
        solids = [(entry, 1, EMPTY_HASH) for entry in entries]
        for resource, references, sha1 in solids + blobs if run.entries_first else blobs + solids:
            self._add_row(resource, references, sha1)

    def _add_row(self, resource: ResourceHeader, references: int, sha1: bytes) -> None:
        self.rows.append(BlobRow(resource, self.builder.part_number, references, sha1))

    def _xml(self) -> bytes:
        xml = self.builder.xml
        if isinstance(xml, bytes):
            return xml
        text = xml_document(self.builder._image_names) if xml is None else xml
        return b"\xff\xfe" + text.encode("utf-16-le")

    def _place_integrity(self, blob_table: ResourceHeader) -> ResourceHeader:
        piece_size = self.builder.integrity_piece_size
        if piece_size is None:
            return NO_RESOURCE
        covered = bytes(self.data[208 : blob_table.end_in_wim])
        digests = [
            hashlib.sha1(covered[start : start + piece_size], usedforsecurity=False).digest()
            for start in range(0, len(covered), piece_size)
        ]
        size = 12 + 20 * len(digests)
        table = struct.pack("<III", size, len(digests), piece_size) + b"".join(digests)
        offset = len(self.data)
        self.data += table
        return ResourceHeader(size, ResourceFlag.NONE, offset, size)
