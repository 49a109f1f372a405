"""Extended attributes under the names of ntfs-3g: Windows metadata asked for by name.

They are never listed and work whatever the streams interface. Layouts are ntfs-3g's: numbers in
the CPU's byte order (little-endian here) or big-endian under ``_be`` names, blobs as on disk.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Final

from wimtui.engine.errors import NoSuchAttributeError
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.names import text_from_wtf8, upcase, wtf8_from_text
from wimtui.engine.image.reparse import MAX_REPARSE_NBYTES, reparse_buffer
from wimtui.engine.image.tagged_items import ItemTag, extended_attributes, find_item

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.image.blobs import Blobs
    from wimtui.engine.image.metadata import ImageMetadata
    from wimtui.engine.image.tagged_items import ExtendedAttribute

NTFS_PREFIX: Final = b"system.ntfs_"

_NATIVE: Final = "<" if sys.byteorder == "little" else ">"
_EA = struct.Struct("<IBBH")


class NtfsAttributes:
    """Answers for one image."""

    __slots__ = ("_blobs", "_columns", "_getters", "_metadata")

    def __init__(self, metadata: ImageMetadata, blobs: Blobs) -> None:
        """Reparse data come from ``blobs``, all else from the metadata."""
        self._metadata = metadata
        self._columns = metadata.columns
        self._blobs = blobs
        self._getters: dict[bytes, Callable[[int], bytes | None]] = {
            b"attrib": lambda dentry: self._attrib(dentry, _NATIVE),
            b"attrib_be": lambda dentry: self._attrib(dentry, ">"),
            b"times": lambda dentry: self._times(dentry, _NATIVE),
            b"times_be": lambda dentry: self._times(dentry, ">"),
            b"crtime": lambda dentry: self._times(dentry, _NATIVE)[:8],
            b"crtime_be": lambda dentry: self._times(dentry, ">")[:8],
            b"acl": self._acl,
            b"dos_name": self._dos_name,
            b"reparse_data": self._reparse_data,
            b"object_id": self._object_id,
            b"ea": self._ea,
        }

    def get(self, dentry: int, name: bytes) -> bytes:
        """Return the value of a full name such as ``system.ntfs_attrib``.

        Raises:
            NoSuchAttributeError: The name is unknown or the file has no such thing.
            MissingBlobError: The reparse data are in none of the files given.
        """
        getter = self._getters.get(name.removeprefix(NTFS_PREFIX))
        value = None if getter is None else getter(dentry)
        if value is None:
            raise NoSuchAttributeError(f"no attribute {name.decode(errors='replace')}")
        return value

    def _attrib(self, dentry: int, order: str) -> bytes:
        attributes = self._columns.attributes(dentry) or FileAttribute.NORMAL
        return struct.pack(f"{order}I", attributes)

    def _times(self, dentry: int, order: str) -> bytes:
        created, accessed, written = self._columns.times(dentry)
        return struct.pack(f"{order}4Q", created, written, accessed, written)

    def _acl(self, dentry: int) -> bytes | None:
        return self._metadata.security.descriptor(self._columns.security_id(dentry))

    def _dos_name(self, dentry: int) -> bytes | None:
        name = self._columns.short_name(dentry)
        return wtf8_from_text(upcase(text_from_wtf8(name))) if name else None

    def _reparse_data(self, dentry: int) -> bytes | None:
        attributes = self._columns.attributes(dentry)
        if not attributes & FileAttribute.REPARSE_POINT or attributes & FileAttribute.ENCRYPTED:
            return None
        tag, reserved, _ = self._columns.reparse_fields(dentry)
        sha1 = self._columns.content_sha1(dentry)
        blob = self._blobs.read_all(sha1, MAX_REPARSE_NBYTES) if any(sha1) else b""
        return reparse_buffer(tag, reserved, blob)

    def _object_id(self, dentry: int) -> bytes | None:
        data = find_item(self._columns.tagged_items(dentry), ItemTag.OBJECT_ID)
        if data is None:
            return None
        return data[:64] if len(data) >= 64 else data[:16]

    def _ea(self, dentry: int) -> bytes | None:
        entries = extended_attributes(self._columns.tagged_items(dentry))
        return pack_ea_list(entries) if entries else None


def pack_ea_list(entries: list[ExtendedAttribute]) -> bytes:
    """Return FILE_FULL_EA_INFORMATION as NTFS keeps it; the last entry's link is its own size."""
    packed = []
    for entry in entries:
        name = entry.name[:255]
        nbytes = _EA.size + len(name) + 1 + len(entry.value)
        padding = -nbytes % 4
        head = _EA.pack(nbytes + padding, entry.flags, len(name), len(entry.value))
        packed.append(head + name + b"\0" + entry.value + bytes(padding))
    return b"".join(packed)


def parse_ea_list(data: bytes) -> list[tuple[bytes, bytes, int]]:
    """Return (name, value, flags) of each entry. Raises ValueError where the list is malformed."""
    entries = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _EA.size:
            raise ValueError(f"EA entry at {offset} is cut off")
        link, flags, name_nbytes, value_nbytes = _EA.unpack_from(data, offset)
        value_at = offset + _EA.size + name_nbytes + 1
        end = value_at + value_nbytes
        if end > len(data) or name_nbytes == 0 or data[value_at - 1]:
            raise ValueError(f"EA entry at {offset} is malformed")
        entries.append((data[value_at - name_nbytes - 1 : value_at - 1], data[value_at:end], flags))
        if link == 0:
            break
        if link < end - offset:
            raise ValueError(f"EA entry at {offset} overlaps the next")
        offset += link
    return entries
