"""What a file system shows: nodes by inode number, and files opened on them.

The FUSE adapter sees only these interfaces; an image view or an overlay stands behind them. Names
are WTF-8 bytes (UTF-8 in which unpaired surrogates keep their 3-byte form). Methods that look at
metadata are cheap and answer from memory; those that may decode or read the disk say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, NewType, Protocol

if TYPE_CHECKING:
    from wimtui.engine.progress import CancelToken

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


@dataclass(frozen=True, slots=True)
class AttributeChanges:
    """What setattr(2) asks for; None leaves a field as it is."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None


class RenameMode(Enum):
    """What rename does about an existing target."""

    REPLACE = "replace"
    NO_REPLACE = "noreplace"
    EXCHANGE = "exchange"


class XattrMode(Enum):
    """What setxattr does about an existing attribute."""

    ANY = "any"
    CREATE = "create"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Creator:
    """Who makes a node, and with which mode."""

    mode: int
    """Type and permission bits, the caller's umask already applied."""
    uid: int
    gid: int
    rdev: int = 0


class WritableFile(OpenFile, Protocol):
    """A stream opened for writing as well."""

    def write_nowait(self, offset: int, data: bytes) -> int | None:
        """Write like ``write``, or return None where the data must be copied up again first.

        That is so while a commit reads what is staged; ``copy_up`` makes the copy.
        """
        ...

    def write(self, offset: int, data: bytes) -> int:
        """Write all of ``data`` at ``offset``; the stream grows, a gap reads as zeros.

        Raises:
            OSError: The staging disk is full or broken; what was written before stays.
        """
        ...

    def sync(self, *, data_only: bool) -> None:
        """Return when what was written would survive a power cut. Blocks."""
        ...


class WriteTree(ReadTree, Protocol):
    """A tree whose every change is kept before the call returns.

    Each method that changes names touches the times of the directories concerned, and raises the
    NodeError of the errno that POSIX gives.
    """

    def create_node(self, parent: Ino, name: bytes, creator: Creator) -> Ino:
        """Make a regular file, fifo, socket or device. Raises NodeExistsError, InvalidNameError."""
        ...

    def make_directory(self, parent: Ino, name: bytes, creator: Creator) -> Ino:
        """Make an empty directory."""
        ...

    def make_symlink(self, parent: Ino, name: bytes, target: bytes, creator: Creator) -> Ino:
        """Make a native Windows symlink to a UNIX target."""
        ...

    def link(self, ino: Ino, parent: Ino, name: bytes) -> None:
        """Give a file another name. NotPermittedError for directories and reparse points."""
        ...

    def unlink(self, parent: Ino, name: bytes) -> Ino:
        """Remove a name of something that is no directory; returns its node.

        A node without names lives on until ``forget``.
        """
        ...

    def remove_directory(self, parent: Ino, name: bytes) -> Ino:
        """Remove an empty directory; returns its node."""
        ...

    def rename(
        self, parent: Ino, name: bytes, new_parent: Ino, new_name: bytes, mode: RenameMode
    ) -> None:
        """Move a name, as renameat2(2)."""
        ...

    def change(self, ino: Ino, changes: AttributeChanges) -> None:
        """Set attributes; a new size truncates or extends. May copy up, see ``copy_up_size``."""
        ...

    def copy_up_size(self, ino: Ino, *, keep: int | None = None) -> int:
        """Return how many bytes must be copied to staging before the first write.

        0 where the data is staged already. ``keep`` is the size about to be set: bytes from there
        on are not copied.
        """
        ...

    def copy_up(self, ino: Ino, keep: int | None, cancel: CancelToken) -> None:
        """Bring a file's data into staging.

        Blocks; safe in a worker thread while other calls go on; two calls for one node copy once.
        Raises CancelledError, OSError.
        """
        ...

    def open_for_writing(self, ino: Ino) -> WritableFile:
        """Open a file whose data is staged (``copy_up`` before, if its size is not 0)."""
        ...

    def set_xattr(self, ino: Ino, name: bytes, value: bytes, mode: XattrMode) -> None:
        """Set an extended attribute or named stream."""
        ...

    def remove_xattr(self, ino: Ino, name: bytes) -> None:
        """Remove an extended attribute or named stream."""
        ...

    def forget(self, ino: Ino) -> None:
        """Take note that nobody can refer to a node any more; one without names is freed."""
        ...

    def sync(self, ino: Ino, *, data_only: bool) -> None:
        """Do an fsync of a node that is not open, such as a directory. Blocks."""
        ...
