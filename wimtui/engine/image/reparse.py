"""Reparse points: tags, link data, and links as UNIX sees and makes them (wim-container 7)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from wimtui.engine.errors import InvalidNameError, NameEncodingError, ReparseDataError
from wimtui.engine.image.names import utf16_from_wtf8, wtf8_from_utf16

MAX_REPARSE_NBYTES = 16376
"""Longest reparse blob: a 16 KiB buffer less its 8-byte header."""

RP_FLAG_NOT_FIXED = 0x0001
"""rp_flags: the target is stored as it was, not made relative to the image root."""

_SYMLINK = struct.Struct("<HHHHI")
_MOUNT_POINT = struct.Struct("<HHHH")
_BUFFER = struct.Struct("<IHH")
_FLAG_RELATIVE = 1
_MICROSOFT = 0x80000000
_DEVICE_PREFIXES = ("\\??\\", "\\DosDevices\\", "\\Device\\")
_SWAP_SEPARATORS = str.maketrans("\\/", "/\\")


class ReparseTag(IntEnum):
    """Known tags; all but MOUNT_POINT and SYMLINK are opaque on Linux."""

    MOUNT_POINT = 0xA0000003
    HSM = 0xC0000004
    DRIVER_EXTENDER = 0x80000005
    HSM2 = 0x80000006
    SIS = 0x80000007
    WIM = 0x80000008
    CSV = 0x80000009
    DFS = 0x8000000A
    FILTER_MANAGER = 0x8000000B
    SYMLINK = 0xA000000C
    DFSR = 0x80000012
    DEDUP = 0x80000013
    NFS = 0x80000014
    WOF = 0x80000017
    WCI = 0x80000018
    WCI_1 = 0x90001018
    CLOUD = 0x9000001A
    APPEXECLINK = 0x8000001B
    PROJFS = 0x9000001C
    LX_SYMLINK = 0xA000001D
    STORAGE_SYNC = 0x8000001E
    WCI_TOMBSTONE = 0xA000001F
    ONEDRIVE = 0x80000021
    PROJFS_TOMBSTONE = 0xA0000022
    AF_UNIX = 0x80000023
    LX_FIFO = 0x80000024
    LX_CHR = 0x80000025
    LX_BLK = 0x80000026
    WCI_LINK = 0xA0000027


def tag_name(tag: int) -> str:
    """Return a tag's name, or its number."""
    if tag & 0xFFFF0FFF == ReparseTag.CLOUD and tag != ReparseTag.CLOUD:
        return f"CLOUD_{tag >> 12 & 0xF:X}"
    try:
        return ReparseTag(tag).name
    except ValueError:
        return f"0x{tag:08x}"


def is_link_tag(tag: int) -> bool:
    """Return whether Linux shows the reparse point as a symlink."""
    return tag in (ReparseTag.SYMLINK, ReparseTag.MOUNT_POINT)


@dataclass(frozen=True, slots=True)
class ReparseLink:
    """The data of a symlink or junction; names may hold lone surrogates."""

    tag: ReparseTag
    substitute_name: str
    print_name: str
    flags: int = 0
    """SYMLINK only: bit 0 says that the target is relative."""

    @property
    def is_relative(self) -> bool:
        """Whether the target is relative to the link's directory, or to its drive."""
        return self.tag == ReparseTag.SYMLINK and self.flags & _FLAG_RELATIVE != 0

    @classmethod
    def parse(cls, tag: int, blob: bytes) -> Self:
        """Read a link's reparse blob. Raises ReparseDataError."""
        if not is_link_tag(tag):
            raise ReparseDataError(f"reparse tag {tag_name(tag)} is no link")
        kind = ReparseTag(tag)
        layout = _SYMLINK if kind is ReparseTag.SYMLINK else _MOUNT_POINT
        if len(blob) > MAX_REPARSE_NBYTES:
            raise ReparseDataError(f"{len(blob)} bytes of reparse data exceed {MAX_REPARSE_NBYTES}")
        if len(blob) < layout.size:
            raise ReparseDataError(f"{len(blob)} bytes are too short for {kind.name} reparse data")
        fields = layout.unpack_from(blob)
        if any(value & 1 for value in fields[:4]):
            raise ReparseDataError(f"odd offset or length in {kind.name} reparse data")
        names = blob[layout.size :]
        substitute = _slice(names, fields[0], fields[1])
        shown = _slice(names, fields[2], fields[3])
        return cls(kind, substitute, shown, fields[4] if len(fields) > 4 else 0)

    def pack(self) -> bytes:
        """Return the blob: substitute name first, both names with a NUL."""
        substitute = self.substitute_name.encode("utf-16-le", "surrogatepass")
        shown = self.print_name.encode("utf-16-le", "surrogatepass")
        lengths = (0, len(substitute), len(substitute) + 2, len(shown))
        if self.tag == ReparseTag.SYMLINK:
            head = _SYMLINK.pack(*lengths, self.flags)
        else:
            head = _MOUNT_POINT.pack(*lengths)
        return head + substitute + b"\0\0" + shown + b"\0\0"


def _slice(names: bytes, offset: int, nbytes: int) -> str:
    if offset + nbytes > len(names):
        raise ReparseDataError(
            f"a name of {nbytes} bytes at {offset} ends outside the reparse data"
        )
    return names[offset : offset + nbytes].decode("utf-16-le", "surrogatepass")


def unix_target(tag: int, blob: bytes, rp_flags: int, mount_root: bytes = b"") -> bytes:
    """Return what readlink shows (wim-container 7.5).

    Args:
        tag: SYMLINK or MOUNT_POINT.
        blob: The reparse data without its 8-byte header.
        rp_flags: As in the dentry; a target that was fixed goes below ``mount_root``.
        mount_root: Absolute path of the mount, without a slash at the end; empty if unknown.

    Raises:
        ReparseDataError: The data is malformed or its target holds a NUL.
    """
    link = ReparseLink.parse(tag, blob)
    target = link.substitute_name
    if not link.is_relative:
        target = _without_device(target)
    shown = wtf8_from_utf16(target.translate(_SWAP_SEPARATORS).encode("utf-16-le", "surrogatepass"))
    if b"\0" in shown:
        raise ReparseDataError("the target holds a NUL character")
    if not link.is_relative and not rp_flags & RP_FLAG_NOT_FIXED and mount_root:
        return mount_root + shown
    return shown or b"/"


def _without_device(target: str) -> str:
    for prefix in _DEVICE_PREFIXES:
        if target.startswith(prefix):
            rest = target[len(prefix) :].lstrip("\\")
            separator = rest.find("\\")
            return "" if separator < 0 else rest[separator:]
    return target


def symlink_blob(target: bytes) -> bytes:
    """Return the SYMLINK reparse data for a UNIX target (wim-container 7.7).

    Raises:
        InvalidNameError: The target is too long or not UTF-8.
    """
    try:
        text = utf16_from_wtf8(target).decode("utf-16-le", "surrogatepass")
    except NameEncodingError as error:
        raise InvalidNameError("the link target is not UTF-8") from error
    text = text.translate(_SWAP_SEPARATORS)
    # Each character costs at least four bytes; this keeps the 16-bit lengths from overflowing.
    if len(text) > MAX_REPARSE_NBYTES // 4:
        raise InvalidNameError("the link target is too long for reparse data")
    if not text or text.startswith("\\"):
        link = ReparseLink(ReparseTag.SYMLINK, "\\??\\C:" + text, "C:" + text)
    else:
        link = ReparseLink(ReparseTag.SYMLINK, text, text, _FLAG_RELATIVE)
    blob = link.pack()
    if len(blob) > MAX_REPARSE_NBYTES:
        raise InvalidNameError("the link target is too long for reparse data")
    return blob


def reparse_buffer(tag: int, reserved: int, blob: bytes) -> bytes:
    """Return the REPARSE_DATA_BUFFER that Windows shows: an 8-byte header, then the blob.

    The data length leaves out the GUID that begins a third-party tag's data.
    """
    nbytes = len(blob)
    if not tag & _MICROSOFT and nbytes >= 16:
        nbytes -= 16
    return _BUFFER.pack(tag, nbytes, reserved) + blob
