"""Dentries and extra stream entries as values, exactly as a metadata resource stores them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

from wimtui.engine.errors import LimitError, MetadataError
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.blobs import ZERO_SHA1
from wimtui.engine.image.names import MAX_NAME_UNITS, utf16_from_wtf8, wtf8_from_utf16
from wimtui.engine.image.streams import FileStreams, interpret_streams

_FIXED: Final = struct.Struct("<QIiQQQQQQ20sI8sHHH")
_REPARSE: Final = struct.Struct("<IHH")
_ENTRY: Final = struct.Struct("<QQ20sH")
_MAX_ENTRIES: Final = 65535
END_MARKER_NBYTES: Final = 8


def _align8(nbytes: int) -> int:
    return nbytes + -nbytes % 8


def _pack_name(name: bytes) -> bytes:
    """Return UTF-16LE without the NUL."""
    units = utf16_from_wtf8(name)
    if len(units) > 2 * MAX_NAME_UNITS:
        raise LimitError(f"a name of {len(units) // 2} UTF-16 units; {MAX_NAME_UNITS} are possible")
    return units


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """An extra stream entry: a name, empty for an unnamed stream, and a hash."""

    name: bytes
    """WTF-8."""
    sha1: bytes

    @classmethod
    def parse(cls, metadata: bytes, offset: int) -> tuple[Self, int]:
        """Return the entry at an offset and the offset after it. Raises MetadataError."""
        if len(metadata) - offset < _ENTRY.size:
            raise _error("stream entry", offset, "it ends after the metadata does")
        length, _, sha1, name_nbytes = _ENTRY.unpack_from(metadata, offset)
        length = _align8(length)
        if length > len(metadata) - offset:
            raise _error("stream entry", offset, "it ends after the metadata does")
        if length < _ENTRY.size + name_nbytes:
            raise _error("stream entry", offset, "its length is too short for its name")
        if name_nbytes & 1:
            raise _error("stream entry", offset, "its name has an odd number of bytes")
        at = offset + _ENTRY.size
        name = wtf8_from_utf16(metadata[at : at + name_nbytes])
        return cls(name, sha1), offset + length

    def pack(self) -> bytes:
        """Return the entry, padded to 8 bytes."""
        units = _pack_name(self.name)
        body = units + b"\0\0" if units else b""
        length = _align8(_ENTRY.size + len(body))
        head = _ENTRY.pack(length, 0, self.sha1, len(units))
        return head + body + bytes(length - len(head) - len(body))


@dataclass(frozen=True, slots=True)
class Dentry:
    """One dentry with its extra stream entries."""

    name: bytes
    """WTF-8; empty for the root."""
    attributes: int
    security_id: int = -1
    """Index of the security descriptor; -1 for none."""
    subdir_offset: int = 0
    """Offset of the child list in the metadata resource."""
    creation_time: int = 0
    """Ticks, like the other times."""
    access_time: int = 0
    write_time: int = 0
    main_hash: bytes = ZERO_SHA1
    unknown_0x54: int = 0
    group_id: int = 0
    """Hard-link group; only of what is no reparse point."""
    reparse_tag: int = 0
    reparse_reserved: int = 0
    rp_flags: int = 0
    short_name: bytes = b""
    """WTF-8; empty for none."""
    tagged_items: bytes = b""
    entries: tuple[StreamEntry, ...] = ()

    @classmethod
    def parse(cls, metadata: bytes, offset: int = 0) -> tuple[Self, int]:
        """Return the dentry at an offset and the offset after its stream entries.

        Raises:
            MetadataError: The dentry is malformed, or an end marker stands there.
        """
        if len(metadata) - offset < _FIXED.size:
            raise _error("dentry", offset, "it ends after the metadata does")
        fields = _FIXED.unpack_from(metadata, offset)
        length, attributes, security_id, subdir_offset = fields[:4]
        created, accessed, written, main_hash, unknown, union = fields[6:12]
        entry_count, short_nbytes, name_nbytes = fields[12:]
        if _align8(length) > len(metadata) - offset:
            raise _error("dentry", offset, "it ends after the metadata does")
        if (short_nbytes | name_nbytes) & 1:
            raise _error("dentry", offset, "a name has an odd number of bytes")
        name_at = offset + _FIXED.size
        short_at = name_at + (name_nbytes + 2 if name_nbytes else 0)
        names_end = short_at + (short_nbytes + 2 if short_nbytes else 0)
        if _align8(length) < names_end - offset:
            raise _error("dentry", offset, "its length is too short for its names")
        tagged_at = offset + _align8(names_end - offset)
        entries = []
        end = offset + _align8(length)
        for _ in range(entry_count):
            entry, end = StreamEntry.parse(metadata, end)
            entries.append(entry)
        is_reparse = attributes & FileAttribute.REPARSE_POINT
        tag, reserved, rp_flags = _REPARSE.unpack(union) if is_reparse else (0, 0, 0)
        dentry = cls(
            name=wtf8_from_utf16(metadata[name_at : name_at + name_nbytes]),
            attributes=attributes,
            security_id=security_id,
            subdir_offset=subdir_offset,
            creation_time=created,
            access_time=accessed,
            write_time=written,
            main_hash=main_hash,
            unknown_0x54=unknown,
            group_id=0 if is_reparse else int.from_bytes(union, "little"),
            reparse_tag=tag,
            reparse_reserved=reserved,
            rp_flags=rp_flags,
            short_name=wtf8_from_utf16(metadata[short_at : short_at + short_nbytes]),
            tagged_items=metadata[tagged_at : offset + length],
            entries=tuple(entries),
        )
        return dentry, end

    def pack(self) -> bytes:
        """Return the dentry and its stream entries. Raises LimitError, NameEncodingError."""
        if len(self.entries) > _MAX_ENTRIES:
            raise LimitError(f"{len(self.entries)} streams; a file can have {_MAX_ENTRIES}")
        name, short = _pack_name(self.name), _pack_name(self.short_name)
        body = (name + b"\0\0" if name else b"") + (short + b"\0\0" if short else b"")
        body += bytes(-(_FIXED.size + len(body)) % 8)
        body += self.tagged_items + bytes(-len(self.tagged_items) % 8)
        if self.attributes & FileAttribute.REPARSE_POINT:
            union = _REPARSE.pack(self.reparse_tag, self.reparse_reserved, self.rp_flags)
        else:
            union = self.group_id.to_bytes(8, "little")
        head = _FIXED.pack(
            _FIXED.size + len(body),
            self.attributes,
            self.security_id,
            self.subdir_offset,
            0,
            0,
            self.creation_time,
            self.access_time,
            self.write_time,
            self.main_hash,
            self.unknown_0x54,
            union,
            len(self.entries),
            len(short),
            len(name),
        )
        return head + body + b"".join(entry.pack() for entry in self.entries)

    def streams(self) -> FileStreams:
        """Return what main hash and extra entries mean."""
        entries = [(entry.name, entry.sha1) for entry in self.entries]
        return interpret_streams(self.attributes, self.main_hash, entries)


def _error(structure: str, offset: int, message: str) -> MetadataError:
    return MetadataError(
        message, structure=f"{structure} at offset {offset} of the metadata resource"
    )
