"""A directory of the host as the tree of an image (wim-container 7.7, 15.4)."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wimtui.engine.commit.sources import FileSource, MemorySource
from wimtui.engine.errors import (
    CancelledError,
    InvalidNameError,
    NameEncodingError,
    OpenFailedError,
    ReadFailedError,
)
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.blobs import ZERO_SHA1
from wimtui.engine.image.metadata_writer import DentryNode
from wimtui.engine.image.names import text_from_wtf8
from wimtui.engine.image.reparse import (
    RP_FLAG_NOT_FIXED,
    ReparseTag,
    symlink_blob,
)
from wimtui.engine.image.security import SecurityData
from wimtui.engine.image.tagged_items import (
    ExtendedAttribute,
    ItemTag,
    UnixData,
    pack_extended_attributes,
    set_item,
)
from wimtui.engine.progress import Phase, Progress
from wimtui.engine.timestamps import ns_to_ticks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.progress import CancelToken, ProgressSink

_UNIX_ONLY = (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
_USER_PREFIX = "user."
_MAX_EA_NBYTES = 0xFFFF
_U32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """What to take of a directory."""

    unix_data: bool = False
    """Keep owners, modes, extended attributes, devices, fifos and sockets."""
    fix_links: bool = True
    """Make absolute links into the tree relative to the image's root."""
    xattrs_as_streams: bool = False
    """Keep ``user.*`` attributes as named streams."""
    progress: ProgressSink | None = None
    cancel: CancelToken | None = None


@dataclass(slots=True)
class CapturedTree:
    """A TreeSnapshot of a directory; file data is read when the image is written."""

    top: DentryNode
    security_data: bytes = field(default_factory=lambda: SecurityData.build([]).raw)
    sources: dict[bytes, BlobSource] = field(default_factory=dict)
    fixed_links: int = 0
    """Links that were made relative to the root."""
    skipped: list[str] = field(default_factory=list)
    """What the image cannot hold: a sentence each, with the path."""

    @property
    def has_changes(self) -> bool:
        """A capture is new as a whole."""
        return True

    def root(self) -> DentryNode:
        """Return the root directory's node."""
        return self.top

    def children(self, node: DentryNode) -> list[DentryNode]:
        """Return a directory's entries."""
        return node.children

    def staged(self) -> Mapping[bytes, BlobSource]:
        """Return the data behind each token."""
        return self.sources


def empty_tree(ticks: int) -> CapturedTree:
    """Return a root directory with nothing in it."""
    root = DentryNode(b"", FileAttribute.DIRECTORY)
    root.creation_time = root.access_time = root.write_time = ticks
    return CapturedTree(root)


def capture(directory: str, options: CaptureOptions | None = None) -> CapturedTree:
    """Scan a directory; links are taken as links.

    Raises:
        OpenFailedError: It is no directory, or cannot be read.
        ReadFailedError: Something below it cannot be read.
        NameEncodingError: A name or the target of a link is not UTF-8.
        CancelledError: Stopped.
    """
    return _Scan(directory, options or CaptureOptions()).run()


class _Scan:
    """One walk over a directory."""

    def __init__(self, directory: str, options: CaptureOptions) -> None:
        self._top = os.path.realpath(directory)
        self._options = options
        self._inodes: dict[tuple[int, int], DentryNode] = {}
        self._groups = 0
        self._tokens = 0
        self._done = Progress(Phase.SCAN)
        self._tree = CapturedTree(DentryNode(b"", FileAttribute.DIRECTORY))

    def run(self) -> CapturedTree:
        try:
            status = os.stat(self._top)  # noqa: PTH116  # like the calls below
        except OSError as error:
            raise OpenFailedError(f"cannot open: {error.strerror}", path=self._top) from error
        if not stat.S_ISDIR(status.st_mode):
            raise OpenFailedError("not a directory", path=self._top)
        self._tree.top = self._node(b"", self._top, status)
        pending = [(self._tree.top, self._top)]
        while pending:
            node, path = pending.pop()
            for name, entry_path, entry_status in self._list(path):
                child = self._entry(name, entry_path, entry_status)
                if child is not None:
                    node.children.append(child)
                    if stat.S_ISDIR(entry_status.st_mode):
                        pending.append((child, entry_path))
        return self._tree

    def _list(self, path: str) -> list[tuple[bytes, str, os.stat_result]]:
        """Return names, paths and stats of a directory's entries, sorted."""
        if self._options.cancel is not None and self._options.cancel.cancelled:
            raise CancelledError("cancelled")
        try:
            with os.scandir(path) as entries:
                found = [
                    (os.fsencode(entry.name), entry.path, entry.stat(follow_symlinks=False))
                    for entry in entries
                ]
        except OSError as error:
            where = error.filename or path
            raise ReadFailedError(f"cannot read: {error.strerror}", path=where) from error
        done = self._done
        nbytes = sum(status.st_size for _, _, status in found if stat.S_ISREG(status.st_mode))
        self._done = Progress(
            Phase.SCAN, done.bytes_done + nbytes, 0, done.items_done + len(found), 0, path
        )
        if self._options.progress is not None:
            self._options.progress(self._done)
        return sorted(found)

    def _entry(self, name: bytes, path: str, status: os.stat_result) -> DentryNode | None:
        """Return the node of a name, or None for what the image cannot hold."""
        kind = stat.S_IFMT(status.st_mode)
        if kind in _UNIX_ONLY and not self._options.unix_data:
            self._tree.skipped.append(f"{path}: devices, fifos and sockets need --unix-data")
            return None
        _check_utf8(name, f"the name {name!r}", path)
        key = (status.st_dev, status.st_ino)
        first = self._inodes.get(key)
        if first is not None:
            return self._another_name(first, name)
        node = self._node(name, path, status)
        if status.st_nlink > 1 and kind not in (stat.S_IFDIR, stat.S_IFLNK):
            self._inodes[key] = node
        return node

    def _another_name(self, first: DentryNode, name: bytes) -> DentryNode:
        """Return a node that shares everything with the first name of a file."""
        if not first.group_id:
            self._groups += 1
            first.group_id = self._groups
        return DentryNode(
            name,
            first.attributes,
            -1,
            first.creation_time,
            first.access_time,
            first.write_time,
            first.content_sha1,
            named_streams=first.named_streams,
            group_id=first.group_id,
            tagged_items=first.tagged_items,
        )

    def _node(self, name: bytes, path: str, status: os.stat_result) -> DentryNode:
        node = DentryNode(name, FileAttribute.NORMAL)
        node.creation_time = node.write_time = ns_to_ticks(status.st_mtime_ns)
        node.access_time = ns_to_ticks(status.st_atime_ns)
        if self._options.unix_data:
            unix = UnixData(status.st_uid, status.st_gid, status.st_mode, status.st_rdev & _U32)
            node.tagged_items = set_item(b"", ItemTag.UNIX_DATA, unix.pack())
            entries = self._extended_attributes(path)
            if entries:
                packed = pack_extended_attributes(entries)
                node.tagged_items = set_item(node.tagged_items, ItemTag.EXTENDED_ATTRIBUTES, packed)
        if stat.S_ISDIR(status.st_mode):
            node.attributes = FileAttribute.DIRECTORY
        elif stat.S_ISLNK(status.st_mode):
            self._make_link(node, path)
        elif stat.S_ISREG(status.st_mode) and status.st_size:
            node.content_sha1 = self._token(FileSource(path, status.st_size))
        if self._options.xattrs_as_streams and not stat.S_ISLNK(status.st_mode):
            node.named_streams = self._streams(path)
        return node

    def _make_link(self, node: DentryNode, path: str) -> None:
        """Make a symlink of a node; DIRECTORY is for the writer to add where that is right."""
        try:
            target = os.readlink(os.fsencode(path))  # noqa: PTH115  # as bytes
        except OSError as error:
            raise ReadFailedError(f"cannot read: {error.strerror}", path=path) from error
        _check_utf8(target, f"the link target {target!r}", path)
        node.attributes = FileAttribute.REPARSE_POINT
        node.reparse_tag = ReparseTag.SYMLINK
        node.rp_flags = RP_FLAG_NOT_FIXED
        fixed = self._fixed(target)
        if fixed is not None:
            node.rp_flags = 0
            self._tree.fixed_links += 1
        if os.path.isdir(path):  # noqa: PTH112  # follows the link
            node.attributes |= FileAttribute.DIRECTORY
        try:
            data = symlink_blob(target if fixed is None else fixed)
        except InvalidNameError as error:
            raise InvalidNameError(error.message, path=path) from error
        node.content_sha1 = self._token(MemorySource(data))

    def _fixed(self, target: bytes) -> bytes | None:
        """Return an absolute target inside the tree without the tree's path, or None."""
        if not self._options.fix_links or not target.startswith(b"/"):
            return None
        top = os.fsencode(self._top).rstrip(b"/")
        if target == top or target.startswith(top + b"/"):
            return target[len(top) :]
        return None

    def _extended_attributes(self, path: str) -> list[ExtendedAttribute]:
        """Return what the image keeps as Linux has it, and not as streams."""
        entries = []
        for name, value in _xattrs(path):
            if name.startswith(_USER_PREFIX) and self._options.xattrs_as_streams:
                continue
            if len(value) > _MAX_EA_NBYTES:
                self._tree.skipped.append(
                    f"{path}: the attribute {name} is longer than {_MAX_EA_NBYTES} bytes"
                )
                continue
            entries.append(ExtendedAttribute(os.fsencode(name), value))
        return entries

    def _streams(self, path: str) -> tuple[tuple[bytes, bytes], ...]:
        streams = []
        for name, value in _xattrs(path):
            if name.startswith(_USER_PREFIX) and len(name) > len(_USER_PREFIX):
                sha1 = self._token(MemorySource(value)) if value else ZERO_SHA1
                streams.append((os.fsencode(name[len(_USER_PREFIX) :]), sha1))
        return tuple(streams)

    def _token(self, source: BlobSource) -> bytes:
        """Return a stand-in for the hash of data not read yet."""
        self._tokens += 1
        token = b"not hashed  " + self._tokens.to_bytes(8, "big")
        self._tree.sources[token] = source
        return token


def _check_utf8(name: bytes, what: str, path: str) -> None:
    """Raise NameEncodingError, as wimlib-imagex ends, for what cannot become UTF-16."""
    try:
        text_from_wtf8(name)
    except NameEncodingError as error:
        raise NameEncodingError(
            f"{what} is not UTF-8, and a WIM holds names as UTF-16",
            path=path,
            hint="rename it (convmv does that for whole trees), or leave it out",
        ) from error


def _xattrs(path: str) -> list[tuple[str, bytes]]:
    """Return the extended attributes of a file, or of a link itself; none where there can be none.

    Raises:
        ReadFailedError: There are some that cannot be read.
    """
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names)]
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENODATA):
            return []
        raise ReadFailedError(
            f"cannot read its extended attributes: {error.strerror}", path=path
        ) from error
