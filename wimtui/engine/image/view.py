"""An image as a read-only file system tree."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from wimtui.engine.errors import (
    AttributeTooLargeError,
    BlobHashError,
    CorruptResourceError,
    EncryptedNodeError,
    IsADirectoryNodeError,
    MissingBlobError,
    NameTooLongError,
    NoSuchAttributeError,
    NotADirectoryNodeError,
    NotALinkError,
    NotSupportedNodeError,
    ReparseDataError,
    StaleNodeError,
    StreamsDisabledError,
    WimError,
)
from wimtui.engine.image._stat import StatTable
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.blobs import EMPTY_SHA1, ZERO_SHA1, EmptyFile, is_empty
from wimtui.engine.image.file_ahead import FileAhead
from wimtui.engine.image.named_streams import StreamPath, named_streams
from wimtui.engine.image.ntfs_xattrs import NTFS_PREFIX, NtfsAttributes
from wimtui.engine.image.reparse import MAX_REPARSE_NBYTES, unix_target
from wimtui.engine.tree import FileSystemUsage, Ino, NodeAttributes

if TYPE_CHECKING:
    from wimtui.engine.image.blobs import Blobs
    from wimtui.engine.image.metadata import ImageMetadata
    from wimtui.engine.tree import OpenFile

MAX_XATTR_NBYTES: Final = 65536
"""What the kernel passes in one call."""

MAX_XATTR_NAME_NBYTES: Final = 255
MAX_LINK_TARGET_NBYTES: Final = 4095
USER_PREFIX: Final = b"user."
_BLOCK_NBYTES: Final = 512
_FS_BLOCK_NBYTES: Final = 4096


class StreamsInterface(StrEnum):
    """How named streams are shown."""

    NONE = "none"
    XATTR = "xattr"
    WINDOWS = "windows"


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """How an image is presented."""

    uid: int = 0
    gid: int = 0
    umask: int = 0
    """Permission bits taken from 0777."""
    fmask: int | None = None
    """Takes the place of ``umask`` for what is no directory."""
    dmask: int | None = None
    """Takes the place of ``umask`` for directories."""
    unix_data: bool = False
    """Show the owners, modes and devices that wimlib stores."""
    streams: StreamsInterface = StreamsInterface.XATTR
    mount_root: bytes = b""
    """Absolute path of the mount point: what fixed link targets are relative to."""
    ignore_case: bool = False


class ImageView:
    """tree.ReadTree over one image."""

    __slots__ = ("_ahead", "_blobs", "_columns", "_image_inodes", "_ntfs", "_stat", "_usage",
                 "metadata", "options")  # fmt: skip

    def __init__(
        self, metadata: ImageMetadata, blobs: Blobs, options: ViewOptions | None = None
    ) -> None:
        """Show ``metadata`` with the streams that ``blobs`` holds."""
        self.metadata = metadata
        self.options = ViewOptions() if options is None else options
        self._blobs = blobs
        self._columns = metadata.columns
        self._image_inodes = metadata.columns.inode_count
        self._ntfs = NtfsAttributes(metadata, blobs)
        self._usage: FileSystemUsage | None = None
        chosen = self.options
        fmask = chosen.umask if chosen.fmask is None else chosen.fmask
        dmask = chosen.umask if chosen.dmask is None else chosen.dmask
        self._stat = StatTable(
            metadata.columns,
            NodeAttributes,
            chosen.uid,
            chosen.gid,
            0o777 & ~fmask,
            0o777 & ~dmask,
            chosen.unix_data,
        )
        self._ahead = FileAhead(self._stat, blobs)

    # Names

    def lookup(self, parent: Ino, name: bytes) -> Ino | None:
        """Return the node of that name, or None. Raises NotADirectoryNodeError, StaleNodeError."""
        found = self._columns.lookup_ino(parent, name, self.options.ignore_case)
        if found > 0:
            return Ino(found)
        if found == -2 and not self._is_opaque_directory(parent):
            raise NotADirectoryNodeError(f"node {parent} is no directory")
        if found == -3:
            self._dentry(parent)
            raise NotADirectoryNodeError(f"node {parent} is no directory")
        if found == -1 and b":" in name and self.options.streams is StreamsInterface.WINDOWS:
            return self._lookup_stream(parent, name)
        return None

    def _lookup_stream(self, parent: Ino, name: bytes) -> Ino | None:
        path = StreamPath.parse(name)
        if path is None:
            return None
        owner = self._columns.lookup_ino(parent, path.file_name, self.options.ignore_case)
        if owner < 1:
            return None
        dentry = self._columns.first_dentry(owner)
        if not path.stream_name:
            is_file = self._columns.node_type(dentry) == stat.S_IFREG
            return Ino(owner) if is_file else None
        found = named_streams(self._columns, dentry).find(path.stream_name)
        return None if found is None else Ino(self._image_inodes + 1 + found.row)

    def list_directory(self, ino: Ino) -> list[tuple[bytes, Ino]]:
        """Return names and nodes in collation order. Raises NotADirectoryNodeError."""
        listed = self._columns.list_children(self._dentry(ino))
        if listed is None or ino > self._image_inodes:
            if self._is_opaque_directory(ino):
                return []
            raise NotADirectoryNodeError(f"node {ino} is no directory")
        return listed  # type: ignore[return-value]  # plain ints stand for Ino at run time

    def parent(self, ino: Ino) -> Ino:
        """Return the directory of a node's first name; the root's is the root."""
        return Ino(self._columns.ino(self._columns.parent(self._dentry(ino))))

    def _dentry(self, ino: Ino) -> int:
        """Return the first dentry of a node, for a stream node that of its file."""
        if 1 <= ino <= self._image_inodes:
            return self._columns.first_dentry(ino)
        index = ino - self._image_inodes - 1
        if 0 <= index < self._columns.stream_count:
            owner = self._columns.stream_owner(index)
            if owner:
                return self._columns.first_dentry(owner)
        raise StaleNodeError(f"no node {ino} in this image")

    def _stream_index(self, ino: Ino) -> int | None:
        return None if ino <= self._image_inodes else ino - self._image_inodes - 1

    def _is_opaque_directory(self, ino: Ino) -> bool:
        dentry = self._dentry(ino)
        return (
            ino <= self._image_inodes
            and self._columns.node_type(dentry) == stat.S_IFDIR
            and not self._columns.is_directory(dentry)
        )

    # Attributes

    def attributes(self, ino: Ino) -> NodeAttributes:
        """Return what stat shows; a missing blob has size 0. Raises StaleNodeError."""
        known = self._stat.attributes(ino)
        if known is not None:
            return known
        sha1 = self._stat.plain_sha1(ino)
        if sha1 is not None:
            size = self._blobs.size(sha1)
            if size is not None:
                blocks = -(-self._blobs.stored_size(sha1) // _BLOCK_NBYTES)
                return self._stat.store(ino, size, blocks)
        return self._unusual_attributes(ino)

    def _unusual_attributes(self, ino: Ino) -> NodeAttributes:
        dentry = self._dentry(ino)
        index = self._stream_index(ino)
        if index is not None:
            return self._stream_attributes(ino, index)
        if self._columns.node_type(dentry) == stat.S_IFLNK:
            return self._link_attributes(ino)
        size, blocks = self._sizes(self._data_sha1(dentry))
        if size is None:
            return self._stat.with_size(ino, 0, 0)
        return self._stat.store(ino, size, blocks)

    def _sizes(self, sha1: bytes) -> tuple[int | None, int]:
        """Return size and blocks of 512 bytes; the size is None for a missing blob."""
        if is_empty(sha1, self._blobs):
            return 0, 0
        size = self._blobs.size(sha1)
        if size is None:
            return None, 0
        return size, -(-self._blobs.stored_size(sha1) // _BLOCK_NBYTES)

    def _link_attributes(self, ino: Ino) -> NodeAttributes:
        try:
            size = len(self.read_link(ino))
        except (ReparseDataError, NameTooLongError, CorruptResourceError, BlobHashError):
            # It stays so: what a listing asks again and again must not be decoded each time.
            size = 0
        except WimError:
            return self._stat.with_size(ino, 0, 0)
        return self._stat.store(ino, size, 0)

    def _stream_attributes(self, ino: Ino, index: int) -> NodeAttributes:
        owner = self.attributes(Ino(self._columns.stream_owner(index)))
        size, blocks = self._sizes(self._columns.stream(index)[2])
        mode = stat.S_IFREG | stat.S_IMODE(owner.mode)
        return owner._replace(ino=ino, mode=mode, nlink=1, rdev=0, size=size or 0, blocks=blocks)

    def usage(self) -> FileSystemUsage:
        """Return the size of all files, none free; the first call adds it up."""
        if self._usage is None:
            used = self.metadata.counters(self._blobs)
            self._usage = FileSystemUsage(
                block_size=_FS_BLOCK_NBYTES,
                blocks=-(-(used.total_nbytes - used.hard_link_nbytes) // _FS_BLOCK_NBYTES),
                blocks_free=0,
                files=self._image_inodes,
                files_free=0,
                name_max=255,
            )
        return self._usage

    # Data

    def data_sha1(self, ino: Ino) -> bytes:
        """Return the hash of what reading the node yields; zero for an empty one.

        Raises:
            IsADirectoryNodeError: The node is a directory.
            EncryptedNodeError: The node is an EFS-encrypted file.
            NotSupportedNodeError: The node is a link.
        """
        dentry = self._dentry(ino)
        index = self._stream_index(ino)
        if index is not None:
            return self._columns.stream(index)[2]
        node_type = self._columns.node_type(dentry)
        if node_type == stat.S_IFDIR:
            raise IsADirectoryNodeError(f"{_shown(self.metadata.path(dentry))} is a directory")
        if node_type == stat.S_IFLNK:
            raise NotSupportedNodeError(f"{_shown(self.metadata.path(dentry))} is a link")
        if self._columns.attributes(dentry) & FileAttribute.ENCRYPTED:
            raise EncryptedNodeError(
                f"{_shown(self.metadata.path(dentry))} is encrypted with EFS",
                hint="only the Windows user who encrypted it can read it",
            )
        return self._data_sha1(dentry)

    def _data_sha1(self, dentry: int) -> bytes:
        """Return the unnamed data's hash; for encrypted files and directories none."""
        columns = self._columns
        attributes = columns.attributes(dentry)
        if attributes & (FileAttribute.ENCRYPTED | FileAttribute.DIRECTORY):
            return ZERO_SHA1
        if not attributes & FileAttribute.REPARSE_POINT:
            return columns.content_sha1(dentry)
        return named_streams(columns, dentry).data_sha1

    def open_file(self, ino: Ino) -> OpenFile:
        """Open a file's or a stream node's data.

        Raises:
            MissingBlobError: The data are in none of the files given.
            NodeError: As ``data_sha1``.
        """
        sha1 = self._stat.plain_sha1(ino)
        if sha1 is None:
            sha1 = self.data_sha1(ino)
        if is_empty(sha1, self._blobs):
            return EmptyFile()
        if self._blobs.size(sha1) is None:
            raise MissingBlobError(
                f"the data of {_shown(self.metadata.path(self._dentry(ino)))} are not in this WIM",
                hint="name the WIM that has them with --ref",
            )
        file = self._blobs.open(sha1)
        self._ahead.opened(ino, file)
        return file

    def every_file_opens(self) -> bool:
        """Return whether ``open_file`` works for all: no file is encrypted, none lacks its data."""
        hashes = self._stat.data_hashes()
        if hashes is None:
            return False
        absent = self._blobs.absent(hashes)
        return all(
            absent[start : start + len(EMPTY_SHA1)] == EMPTY_SHA1
            for start in range(0, len(absent), len(EMPTY_SHA1))
        )

    def read_link(self, ino: Ino) -> bytes:
        """Return a link's target.

        Raises:
            NotALinkError: The node is no symlink or junction.
            ReparseDataError: Its data are malformed.
            NameTooLongError: The target exceeds what Linux takes.
            MissingBlobError: Its data are in none of the files given.
        """
        dentry = self._dentry(ino)
        columns = self._columns
        if ino > self._image_inodes or columns.node_type(dentry) != stat.S_IFLNK:
            raise NotALinkError(f"node {ino} is no link")
        tag, _, rp_flags = columns.reparse_fields(dentry)
        blob = self._read(columns.content_sha1(dentry), MAX_REPARSE_NBYTES)
        if blob is None:
            raise ReparseDataError(f"reparse data over {MAX_REPARSE_NBYTES} bytes")
        target = unix_target(tag, blob, rp_flags, self.options.mount_root)
        if len(target) > MAX_LINK_TARGET_NBYTES:
            raise NameTooLongError(f"a link target of {len(target)} bytes is too long for Linux")
        return target

    def _read(self, sha1: bytes, limit: int) -> bytes | None:
        """Return a whole small stream, or None if it is over the limit."""
        if is_empty(sha1, self._blobs):
            return b""
        size = self._blobs.size(sha1)
        if size is not None and size > limit:
            return None
        return self._blobs.read_all(sha1, limit)

    # Extended attributes

    def list_xattrs(self, ino: Ino) -> list[bytes]:
        """Return ``user.`` names of the streams. Raises StreamsDisabledError."""
        dentry = self._dentry(ino)
        self._require_xattr_interface()
        if ino > self._image_inodes or self._columns.node_type(dentry) == stat.S_IFLNK:
            return []
        names = (USER_PREFIX + stream.name for stream in named_streams(self._columns, dentry))
        return [name for name in names if b"\0" not in name and len(name) <= MAX_XATTR_NAME_NBYTES]

    def get_xattr(self, ino: Ino, name: bytes) -> bytes:
        """Return a named stream's data, or a ``system.ntfs_`` value.

        Raises:
            NoSuchAttributeError: There is none of that name.
            AttributeTooLargeError: It is larger than the kernel passes on.
            StreamsDisabledError: Streams are not shown as extended attributes.
            MissingBlobError: Its data are in none of the files given.
        """
        dentry = self._dentry(ino)
        if name.startswith(NTFS_PREFIX):
            value = self._ntfs.get(dentry, name)
            if len(value) > MAX_XATTR_NBYTES:
                raise _too_large(name)
            return value
        self._require_xattr_interface()
        stream = None
        if name.startswith(USER_PREFIX) and ino <= self._image_inodes:
            stream = named_streams(self._columns, dentry).find(name.removeprefix(USER_PREFIX))
        if stream is None:
            raise NoSuchAttributeError(f"no attribute {_shown(name)}")
        data = self._read(stream.sha1, MAX_XATTR_NBYTES)
        if data is None:
            raise _too_large(name)
        return data

    def _require_xattr_interface(self) -> None:
        if self.options.streams is not StreamsInterface.XATTR:
            raise StreamsDisabledError(
                "named streams are not shown as extended attributes",
                hint="mount with --streams-interface=xattr",
            )


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")


def _too_large(name: bytes) -> AttributeTooLargeError:
    return AttributeTooLargeError(
        f"attribute {_shown(name)} is larger than {MAX_XATTR_NBYTES} bytes",
        hint="mount with --streams-interface=windows to read it",
    )
