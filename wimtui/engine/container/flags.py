"""Flags and fixed numbers of the container format."""

from __future__ import annotations

from enum import IntEnum, IntFlag

HEADER_NBYTES = 208
"""Size of the file header, its magic included."""

EMPTY_HASH = bytes(20)
"""The hash that stands for "no data"."""

EMPTY_SHA1 = bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709")
"""SHA-1 of nothing; some writers put it where the format wants the zero hash."""

MAX_IMAGES = 65535
"""The largest image count that wimlib accepts, and so the largest in use."""


class WimVersion(IntEnum):
    """The versions that anybody documents."""

    DEFAULT = 0x00010D00
    SOLID = 0x00000E00


class HeaderFlag(IntFlag):
    """Flags of the file header; unknown bits are kept."""

    RESERVED = 0x00000001
    COMPRESSION = 0x00000002
    READONLY = 0x00000004
    SPANNED = 0x00000008
    RESOURCE_ONLY = 0x00000010
    METADATA_ONLY = 0x00000020
    WRITE_IN_PROGRESS = 0x00000040
    RP_FIX = 0x00000080
    COMPRESS_RESERVED = 0x00010000
    COMPRESS_XPRESS = 0x00020000
    COMPRESS_LZX = 0x00040000
    COMPRESS_LZMS = 0x00080000
    COMPRESS_XPRESS_2 = 0x00200000


class ResourceFlag(IntFlag):
    """Flags of a resource header; unknown bits are kept."""

    NONE = 0
    FREE = 0x01
    METADATA = 0x02
    COMPRESSED = 0x04
    SPANNED = 0x08
    SOLID = 0x10
