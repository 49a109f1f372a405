"""What stat(2), readlink(2) and statfs(2) show of the merged tree."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from wimtui.engine.errors import NameTooLongError, NotALinkError, ReparseDataError, WimError
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.reparse import MAX_REPARSE_NBYTES, unix_target
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.image.tagged_items import unix_data
from wimtui.engine.image.view import MAX_LINK_TARGET_NBYTES
from wimtui.engine.staging.node import BaseBlob, InlineData, StagedFile
from wimtui.engine.timestamps import ticks_to_ns
from wimtui.engine.tree import FileSystemUsage, Ino, NodeAttributes

if TYPE_CHECKING:
    from wimtui.engine.staging.contents import Contents
    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import NodeId, StagedNode, StagedStream

_BLOCK_NBYTES: Final = 512
_FS_BLOCK_NBYTES: Final = 4096
# Plain numbers: operations on an IntFlag take microseconds.
_ENCRYPTED: Final = int(FileAttribute.ENCRYPTED)
_SPECIAL_TYPES: Final = (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK)


class Stats:
    """Answers about nodes by number."""

    def __init__(self, layer: Layer, contents: Contents) -> None:
        """Answer about a layer."""
        self._layer = layer
        self._contents = contents
        chosen = layer.options.view
        fmask = chosen.umask if chosen.fmask is None else chosen.fmask
        dmask = chosen.umask if chosen.dmask is None else chosen.dmask
        self._permissions = {
            stat.S_IFREG: 0o777 & ~fmask,
            stat.S_IFDIR: 0o777 & ~dmask,
            stat.S_IFLNK: 0o777,
        }

    def attributes(self, number: NodeId) -> NodeAttributes:
        """Return what stat shows. Raises StaleNodeError."""
        layer = self._layer
        node = layer.nodes.get(number)
        if node is not None:
            return self._staged(node)
        if layer.base.has_node(number):
            known = layer.base.view.attributes(Ino(number))
            change = layer.link_change(number)
            return known._replace(nlink=known.nlink + change) if change else known
        owner = self.attributes(layer.owner(number))
        _, stream = self._contents.find(number)
        size, blocks = self._sizes(stream)
        mode = stat.S_IFREG | stat.S_IMODE(owner.mode)
        return owner._replace(ino=Ino(number), mode=mode, nlink=1, rdev=0, size=size, blocks=blocks)

    def _staged(self, node: StagedNode) -> NodeAttributes:
        options = self._layer.options.view
        mode, uid, gid, rdev = node.type, options.uid, options.gid, 0
        item = unix_data(node.tagged_items) if options.unix_data else None
        if item is None:
            mode |= self._permissions[node.type]
        else:
            uid, gid = item.uid, item.gid
            if node.type == stat.S_IFREG and stat.S_IFMT(item.mode) in _SPECIAL_TYPES:
                mode, rdev = stat.S_IFMT(item.mode), item.rdev
            mode |= stat.S_IMODE(item.mode)
        size, blocks = self._data_sizes(node)
        written = ticks_to_ns(self._contents.write_time(node))
        return NodeAttributes(
            Ino(node.id),
            mode,
            self._layer.link_count(node.id),
            uid,
            gid,
            rdev,
            size,
            blocks,
            ticks_to_ns(node.access_time),
            written,
            written,
        )

    def _data_sizes(self, node: StagedNode) -> tuple[int, int]:
        if node.streams is None:
            if node.is_new:
                return 0, 0
            known = self._layer.base.view.attributes(Ino(node.id))
            return known.size, known.blocks
        if node.type == stat.S_IFLNK:
            try:
                return len(self.read_link(node.id)), 0
            except WimError:
                return 0, 0
        if node.type == stat.S_IFDIR or node.attributes & _ENCRYPTED:
            return 0, 0
        stream = node.stream(StreamKind.DATA)
        return (0, 0) if stream is None else self._sizes(stream)

    def _sizes(self, stream: StagedStream) -> tuple[int, int]:
        """Return bytes and blocks of 512 bytes."""
        match stream.source:
            case StagedFile(number):
                status = self._layer.store.files.status(number)
                return (0, 0) if status is None else (status.st_size, status.st_blocks)
            case BaseBlob(sha1):
                stored = self._layer.blobs_with(sha1).stored_size(sha1)
                return self._layer.blob_size(sha1), -(-stored // _BLOCK_NBYTES)
            case InlineData(data):
                return len(data), -(-len(data) // _BLOCK_NBYTES)

    def read_link(self, number: NodeId) -> bytes:
        """Return a link's target; may read the disk. Raises as ImageView.read_link."""
        node = self._layer.nodes.get(number)
        if node is None or node.streams is None:
            self._layer.owner(number)
            if not self._layer.base.has_node(number):
                raise NotALinkError(f"node {number} is no link")
            return self._layer.base.view.read_link(Ino(number))
        stream = node.stream(StreamKind.REPARSE)
        if node.type != stat.S_IFLNK or stream is None:
            raise NotALinkError(f"node {number} is no link")
        blob = self.read_whole(stream, MAX_REPARSE_NBYTES)
        if blob is None:
            raise ReparseDataError(f"reparse data over {MAX_REPARSE_NBYTES} bytes")
        root = self._layer.options.view.mount_root
        target = unix_target(node.reparse_tag, blob, node.rp_flags, root)
        if len(target) > MAX_LINK_TARGET_NBYTES:
            raise NameTooLongError(f"a link target of {len(target)} bytes is too long for Linux")
        return target

    def read_whole(self, stream: StagedStream, limit: int) -> bytes | None:
        """Return all bytes of a stream, or None if they exceed the limit. May read the disk."""
        match stream.source:
            case InlineData(data):
                return data if len(data) <= limit else None
            case BaseBlob(sha1):
                size = self._layer.blob_size(sha1)
                if size > limit:
                    return None
                blobs = self._layer.blobs_with(sha1)
                return blobs.read_all(sha1, limit) if any(sha1) else b""
            case StagedFile(number):
                if self._layer.store.files.size(number) > limit:
                    return None
                return self._layer.store.files.read(number, limit)

    def usage(self) -> FileSystemUsage:
        """Return the image's size, and what the staging disk has left."""
        base = self._layer.base.view.usage()
        disk = os.statvfs(self._layer.store.folder)
        free = disk.f_bavail * disk.f_frsize // _FS_BLOCK_NBYTES
        return FileSystemUsage(
            block_size=_FS_BLOCK_NBYTES,
            blocks=base.blocks + free,
            blocks_free=free,
            files=base.files + disk.f_favail,
            files_free=disk.f_favail,
            name_max=base.name_max,
        )
