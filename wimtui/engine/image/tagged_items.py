"""Tagged metadata items after a dentry's names: object id, extended attributes, UNIX data.

Lists are handled as the raw bytes that the dentry holds, so that unknown and malformed items
survive a rewrite (wim-container 6.9).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Self
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEADER = struct.Struct("<II")
_UNIX_DATA = struct.Struct("<IIII")
_EA = struct.Struct("<HBB")
_OLD_XATTR = struct.Struct("<HHI")


class ItemTag(IntEnum):
    """What an item holds."""

    OBJECT_ID = 0x00000001
    EXTENDED_ATTRIBUTES = 0x00000002
    UNIX_DATA = 0x337DD873
    OLD_XATTRS = 0x337DD874


_MIN_NBYTES = {
    ItemTag.OBJECT_ID: 16,
    ItemTag.EXTENDED_ATTRIBUTES: 6,
    ItemTag.UNIX_DATA: 16,
    ItemTag.OLD_XATTRS: 12,
}


@dataclass(frozen=True, slots=True)
class TaggedItem:
    """One item: any 32-bit tag and its data without padding."""

    tag: int
    data: bytes

    def pack(self) -> bytes:
        """Return header, data and zero padding to 8 bytes."""
        padding = bytes(-len(self.data) % 8)
        return _HEADER.pack(self.tag, len(self.data)) + self.data + padding


def parse_items(raw: bytes) -> list[TaggedItem]:
    """Return the items up to the end or to the first that does not fit."""
    items = []
    offset = 0
    while len(raw) - offset >= _HEADER.size:
        tag, nbytes = _HEADER.unpack_from(raw, offset)
        offset += _HEADER.size
        if nbytes > len(raw) - offset:
            break
        items.append(TaggedItem(tag, raw[offset : offset + nbytes]))
        offset += nbytes + -nbytes % 8
    return items


def pack_items(items: Iterable[TaggedItem]) -> bytes:
    """Return the bytes of a list of items."""
    return b"".join(item.pack() for item in items)


def find_item(raw: bytes, tag: ItemTag) -> bytes | None:
    """Return the data of the first item of that tag that is long enough."""
    least = _MIN_NBYTES[tag]
    for item in parse_items(raw):
        if item.tag == tag and len(item.data) >= least:
            return item.data
    return None


def set_item(raw: bytes, tag: ItemTag, data: bytes | None) -> bytes:
    """Return the list with every item of the tag gone and, unless None, this one appended."""
    items = [item for item in parse_items(raw) if item.tag != tag]
    if data is not None:
        items.append(TaggedItem(tag, data))
    return pack_items(items)


@dataclass(frozen=True, slots=True)
class UnixData:
    """Owner, st_mode (type included) and device number, as wimlib stores them."""

    uid: int
    gid: int
    mode: int
    rdev: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the first 16 bytes."""
        return cls(*_UNIX_DATA.unpack_from(data))

    def pack(self) -> bytes:
        """Return 16 bytes."""
        return _UNIX_DATA.pack(self.uid, self.gid, self.mode, self.rdev)


@dataclass(frozen=True, slots=True)
class ObjectId:
    """NTFS object id, with the three birth ids if stored."""

    object_id: UUID
    birth_volume_id: UUID | None = None
    birth_object_id: UUID | None = None
    domain_id: UUID | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read 16 or 64 bytes."""
        count = 4 if len(data) >= 64 else 1
        return cls(*(UUID(bytes_le=data[16 * i : 16 * i + 16]) for i in range(count)))

    def pack(self) -> bytes:
        """Return 16 bytes, or 64 if all four are known."""
        ids = (self.object_id, self.birth_volume_id, self.birth_object_id, self.domain_id)
        known = [guid.bytes_le for guid in ids if guid is not None]
        return b"".join(known) if len(known) == 4 else self.object_id.bytes_le


@dataclass(frozen=True, slots=True)
class ExtendedAttribute:
    """One EA or Linux xattr; the name holds its namespace on Linux."""

    name: bytes
    value: bytes
    flags: int = 0
    """0, or 0x80 for FILE_NEED_EA; not stored by the old item."""


def parse_extended_attributes(data: bytes) -> list[ExtendedAttribute]:
    """Return the entries of an EXTENDED_ATTRIBUTES item up to the first malformed one."""
    entries = []
    offset = 0
    while len(data) - offset > _EA.size:
        value_nbytes, name_nbytes, flags = _EA.unpack_from(data, offset)
        value_at = offset + _EA.size + name_nbytes + 1
        if name_nbytes == 0 or value_at + value_nbytes > len(data) or data[value_at - 1]:
            break
        name = data[offset + _EA.size : value_at - 1]
        offset = value_at + value_nbytes
        entries.append(ExtendedAttribute(name, data[value_at:offset], flags))
    return entries


def pack_extended_attributes(entries: Iterable[ExtendedAttribute]) -> bytes:
    """Return the data of an EXTENDED_ATTRIBUTES item."""
    return b"".join(
        _EA.pack(len(entry.value), len(entry.name), entry.flags) + entry.name + b"\0" + entry.value
        for entry in entries
    )


def parse_old_xattrs(data: bytes) -> list[ExtendedAttribute]:
    """Return the entries of an OLD_XATTRS item up to the first malformed one."""
    return list(_old_xattrs(data))


def _old_xattrs(data: bytes) -> Iterator[ExtendedAttribute]:
    offset = 0
    while len(data) - offset >= _OLD_XATTR.size:
        name_nbytes, _, value_nbytes = _OLD_XATTR.unpack_from(data, offset)
        value_at = offset + _OLD_XATTR.size + name_nbytes
        end = value_at + value_nbytes
        if name_nbytes == 0 or end > len(data):
            return
        yield ExtendedAttribute(data[value_at - name_nbytes : value_at], data[value_at:end])
        offset = end + -end % 4


def unix_data(raw: bytes) -> UnixData | None:
    """Return a dentry's UNIX data."""
    data = find_item(raw, ItemTag.UNIX_DATA)
    return None if data is None else UnixData.parse(data)


def object_id(raw: bytes) -> ObjectId | None:
    """Return a dentry's object id."""
    data = find_item(raw, ItemTag.OBJECT_ID)
    return None if data is None else ObjectId.parse(data)


def extended_attributes(raw: bytes) -> list[ExtendedAttribute]:
    """Return a dentry's extended attributes; the old item counts only without the current one."""
    data = find_item(raw, ItemTag.EXTENDED_ATTRIBUTES)
    if data is not None:
        return parse_extended_attributes(data)
    data = find_item(raw, ItemTag.OLD_XATTRS)
    return [] if data is None else parse_old_xattrs(data)
