"""What a file system shows: nodes by inode number, and files opened on them.

The FUSE adapter sees only these interfaces; an image view or an overlay stands behind them. Names
are WTF-8 bytes (UTF-8 in which unpaired surrogates keep their 3-byte form). Methods that look at
metadata are cheap and answer from memory; those that may decode or read the disk say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, NewType, Protocol

Ino = NewType("Ino", int)
"""Inode number of a mounted tree; the root is 1, as FUSE demands."""

ROOT_INO = Ino(1)


class NodeAttributes(NamedTuple):
    """stat(2) of one node. A tuple, because readdirplus makes thousands a second."""

    ino: Ino
    mode: int
    """Type and permission bits, as st_mode."""
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    """Bytes; for a symlink the length of its target."""
    blocks: int
    """Stored size in units of 512 bytes."""
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class FileSystemUsage:
    """statfs(2) of a tree."""

    block_size: int
    blocks: int
    blocks_free: int
    files: int
    files_free: int
    name_max: int


class OpenFile(Protocol):
    """A stream opened for reading. Safe to read from several threads at once."""

    def read_nowait(self, offset: int, size: int) -> bytes | None:
        """Return up to ``size`` bytes at ``offset``, or None where that would outlast a thread hop.

        Short only at the end of the stream. Raises the same errors as ``read``.
        """
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes at ``offset``; may block while chunks are read and decoded.

        Raises:
            WimError: The data is corrupt, missing or unreadable.
        """
        ...

    def close(self) -> None:
        """Give up the handle; read-ahead for it stops."""
        ...


class ReadTree(Protocol):
    """A tree that does not change."""

    def lookup(self, parent: Ino, name: bytes) -> Ino | None:
        """Return the node of that name, or None. Raises NotADirectoryNodeError."""
        ...

    def attributes(self, ino: Ino) -> NodeAttributes:
        """Return what stat shows. Raises StaleNodeError for a number that was never given out."""
        ...

    def list_directory(self, ino: Ino) -> list[tuple[bytes, Ino]]:
        """Return names and nodes of a directory in collation order, without ``.`` and ``..``."""
        ...

    def parent(self, ino: Ino) -> Ino:
        """Return the parent of a directory; the root's is the root."""
        ...

    def read_link(self, ino: Ino) -> bytes:
        """Return the target of a symlink or junction. May read the disk. Raises NotALinkError."""
        ...

    def open_file(self, ino: Ino) -> OpenFile:
        """Open a regular file's data (or a named stream's, for a stream node)."""
        ...

    def list_xattrs(self, ino: Ino) -> list[bytes]:
        """Return the full names of the extended attributes."""
        ...

    def get_xattr(self, ino: Ino, name: bytes) -> bytes:
        """Return a value; may read the disk. Raises NoSuchAttributeError."""
        ...

    def usage(self) -> FileSystemUsage:
        """Return what statfs shows."""
        ...
