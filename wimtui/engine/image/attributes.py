"""File attributes of Windows, as a dentry stores them."""

from __future__ import annotations

from enum import IntFlag


class FileAttribute(IntFlag):
    """FILE_ATTRIBUTE_*; bits without a name here are kept as they are."""

    READONLY = 0x1
    HIDDEN = 0x2
    SYSTEM = 0x4
    DIRECTORY = 0x10
    ARCHIVE = 0x20
    DEVICE = 0x40
    NORMAL = 0x80
    """Valid only alone."""
    TEMPORARY = 0x100
    SPARSE_FILE = 0x200
    REPARSE_POINT = 0x400
    """The union at 0x58 of the dentry is a reparse tag, and one stream is reparse data."""
    COMPRESSED = 0x800
    OFFLINE = 0x1000
    NOT_CONTENT_INDEXED = 0x2000
    ENCRYPTED = 0x4000
    """The only stream is raw EFS data."""
    INTEGRITY_STREAM = 0x8000
    VIRTUAL = 0x10000
    NO_SCRUB_DATA = 0x20000
    RECALL_ON_OPEN = 0x40000
    PINNED = 0x80000
    UNPINNED = 0x100000
    RECALL_ON_DATA_ACCESS = 0x400000


def attribute_names(attributes: int) -> list[str]:
    """Return the names of the bits that are set, lowest first; unnamed bits as ``0x...``."""
    names = [bit.name or "" for bit in FileAttribute if attributes & bit]
    unnamed = attributes & ~sum(FileAttribute)
    return [*names, f"0x{unnamed:x}"] if unnamed else names


# Plain numbers: each operation on an IntFlag costs more than all else that is done for a node.
_DIRECTORY = int(FileAttribute.DIRECTORY)
_DIRECTORY_BITS = int(FileAttribute.DIRECTORY | FileAttribute.REPARSE_POINT)


def is_plain_directory(attributes: int) -> bool:
    """Return whether a dentry can have children: DIRECTORY without REPARSE_POINT."""
    return attributes & _DIRECTORY_BITS == _DIRECTORY
