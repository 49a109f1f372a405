"""File header: 208 bytes at the start of a WIM (at the end as well in a pipable one)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.container.flags import HEADER_NBYTES, MAX_IMAGES, HeaderFlag, WimVersion
from wimtui.engine.container.resource import ResourceHeader
from wimtui.engine.errors import (
    HeaderError,
    ImageCountError,
    IncompleteWimError,
    NotWimError,
    PartNumberError,
    TruncatedError,
    UnknownVersionError,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAGIC = b"MSWIM\0\0\0"
PIPABLE_MAGIC = b"WLPWM\0\0\0"

BLOB_TABLE_OFFSET = 48
XML_DATA_OFFSET = 72
BOOT_METADATA_OFFSET = 96
INTEGRITY_OFFSET = 124
_FIXED = struct.Struct("<8sIIII16sHHI")
_BOOT_INDEX = struct.Struct("<I")
_UNUSED_OFFSET = 148


@dataclass(frozen=True, slots=True)
class Header:
    """The file header. Unknown flags, any chunk size and the unused bytes are kept as they are."""

    is_pipable: bool
    version: WimVersion
    flags: HeaderFlag
    chunk_size: int
    """Uncompressed bytes a chunk of non-solid resources, as stored; 0 when uncompressed."""

    guid: bytes
    part_number: int
    """1-based."""

    total_parts: int
    image_count: int
    blob_table: ResourceHeader
    xml_data: ResourceHeader
    boot_metadata: ResourceHeader
    boot_index: int
    """1-based; 0 when no image is bootable."""

    integrity: ResourceHeader
    unused: bytes = bytes(60)

    @classmethod
    def parse(cls, buffer: Buffer, *, path: str = "") -> Header:
        """Read a header from the first 208 bytes of ``buffer``; ``path`` is for messages.

        Raises:
            TruncatedError: Fewer than 208 bytes.
            NotWimError: Another magic.
            HeaderError: Another header size.
            UnknownVersionError: Another version.
        """
        data = memoryview(buffer)
        if bytes(data[:8]) not in {MAGIC, PIPABLE_MAGIC} and len(data) >= 8:
            raise NotWimError("not a WIM file", path=path, structure="header", offset_in_file=0)
        if len(data) < HEADER_NBYTES:
            raise TruncatedError("the file is too short to be a WIM", path=path, structure="header")
        magic, nbytes, version, flags, chunk_size, guid, part_number, total_parts, image_count = (
            _FIXED.unpack_from(data)
        )
        if nbytes != HEADER_NBYTES:
            raise HeaderError(
                f"unsupported WIM header size {nbytes}",
                path=path,
                structure="header",
                offset_in_file=8,
            )
        if version not in set(WimVersion):
            raise UnknownVersionError(
                f"unsupported WIM version {version:#x}",
                path=path,
                structure="header",
                offset_in_file=12,
            )
        return cls(
            is_pipable=magic == PIPABLE_MAGIC,
            version=WimVersion(version),
            flags=HeaderFlag(flags),
            chunk_size=chunk_size,
            guid=guid,
            part_number=part_number,
            total_parts=total_parts,
            image_count=image_count,
            blob_table=ResourceHeader.parse(data, BLOB_TABLE_OFFSET),
            xml_data=ResourceHeader.parse(data, XML_DATA_OFFSET),
            boot_metadata=ResourceHeader.parse(data, BOOT_METADATA_OFFSET),
            boot_index=_BOOT_INDEX.unpack_from(data, 120)[0],
            integrity=ResourceHeader.parse(data, INTEGRITY_OFFSET),
            unused=bytes(data[_UNUSED_OFFSET:HEADER_NBYTES]),
        )

    def pack(self) -> bytes:
        """Return the 208 bytes."""
        fixed = _FIXED.pack(
            PIPABLE_MAGIC if self.is_pipable else MAGIC,
            HEADER_NBYTES,
            self.version,
            self.flags,
            self.chunk_size,
            self.guid,
            self.part_number,
            self.total_parts,
            self.image_count,
        )
        return b"".join(
            (
                fixed,
                self.blob_table.pack(),
                self.xml_data.pack(),
                self.boot_metadata.pack(),
                _BOOT_INDEX.pack(self.boot_index),
                self.integrity.pack(),
                self.unused,
            )
        )

    def check(self, file_size: int, *, path: str = "") -> None:
        """Refuse values that no file of ``file_size`` bytes can have.

        Raises:
            PartNumberError: Not 1 <= part number <= total parts.
            ImageCountError: More images than 65,535.
            HeaderError: A table that claims to be larger than the file.
            IncompleteWimError: Neither a blob table nor XML data: the first write never ended.
        """
        if not 1 <= self.part_number <= self.total_parts:
            raise PartNumberError(
                f"invalid part number {self.part_number} of {self.total_parts}",
                path=path,
                structure="header",
                offset_in_file=40,
            )
        if self.image_count > MAX_IMAGES:
            raise ImageCountError(
                f"implausible image count {self.image_count}",
                path=path,
                structure="header",
                offset_in_file=44,
            )
        if self.blob_table.uncompressed_size == 0 and self.xml_data.uncompressed_size == 0:
            raise IncompleteWimError(
                "the WIM was not completely written", path=path, structure="header"
            )
        for name, resource, offset in self._tables():
            if max(resource.uncompressed_size, resource.size_in_wim) > file_size:
                raise HeaderError(
                    f"the {name} claims {resource.uncompressed_size} bytes in a file of "
                    f"{file_size}: the WIM is truncated or its header is corrupt",
                    path=path,
                    structure="header",
                    offset_in_file=offset,
                )

    @property
    def effective_boot_index(self) -> int:
        """The bootable image, 0 for none; an index over the image count means none."""
        return self.boot_index if self.boot_index <= self.image_count else 0

    def _tables(self) -> tuple[tuple[str, ResourceHeader, int], ...]:
        return (
            ("blob table", self.blob_table, BLOB_TABLE_OFFSET),
            ("XML data", self.xml_data, XML_DATA_OFFSET),
            ("integrity table", self.integrity, INTEGRITY_OFFSET),
        )
