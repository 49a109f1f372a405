"""Extended attributes: named streams, and the names of ntfs-3g."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from wimtui.engine.errors import (
    AttributeExistsError,
    AttributeTooLargeError,
    NoSuchAttributeError,
    NotPermittedError,
    NotSupportedNodeError,
    StreamsDisabledError,
)
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.ntfs_xattrs import NTFS_PREFIX
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.image.view import (
    MAX_XATTR_NAME_NBYTES,
    MAX_XATTR_NBYTES,
    USER_PREFIX,
    StreamsInterface,
)
from wimtui.engine.staging.directory_delta import folded
from wimtui.engine.staging.names import check_stream_name
from wimtui.engine.staging.node import InlineData, StagedStream
from wimtui.engine.staging.ntfs_values import NtfsValues
from wimtui.engine.tree import Ino, XattrMode

if TYPE_CHECKING:
    from wimtui.engine.staging.contents import Contents
    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import NodeId, StagedNode
    from wimtui.engine.staging.stats import Stats


class Xattrs:
    """Reads and changes the extended attributes of an overlay's nodes."""

    def __init__(self, layer: Layer, contents: Contents, stats: Stats) -> None:
        """Work on a layer."""
        self._layer = layer
        self._contents = contents
        self._stats = stats
        self._ntfs = NtfsValues(layer, contents, stats)

    def list(self, number: NodeId) -> list[bytes]:
        """Return ``user.`` names of the streams. Raises StreamsDisabledError."""
        node = self._layer.nodes.get(number)
        if node is None or node.streams is None:
            if self._layer.base.has_node(number):
                return self._layer.base.view.list_xattrs(Ino(number))
            self._layer.owner(number)
        self._require_xattr_interface()
        if node is None or node.type == stat.S_IFLNK:
            return []
        names = (USER_PREFIX + stream.name for stream in node.streams or () if stream.name)
        return [name for name in names if b"\0" not in name and len(name) <= MAX_XATTR_NAME_NBYTES]

    def get(self, number: NodeId, name: bytes) -> bytes:
        """Return a value; may read the disk. Raises as ImageView.get_xattr."""
        owner = self._layer.owner(number)
        node = self._layer.nodes.get(owner)
        if node is None and owner == number and not self._needs_layer(number, name):
            return self._layer.base.view.get_xattr(Ino(number), name)
        if name.startswith(NTFS_PREFIX):
            node = self._layer.node(owner)
            return _limited(name, self._ntfs.get(node, name.removeprefix(NTFS_PREFIX)))
        self._require_xattr_interface()
        stream = None
        if name.startswith(USER_PREFIX) and owner == number:
            node = self._layer.node_with_streams(number)
            stream = find_named(node, name.removeprefix(USER_PREFIX))
        if stream is None:
            raise _no_such(name)
        return _limited(name, self._stats.read_whole(stream, MAX_XATTR_NBYTES))

    def _needs_layer(self, number: NodeId, name: bytes) -> bool:
        """Whether the base image cannot answer: short names change without the node."""
        return name == NTFS_PREFIX + b"dos_name" and number != 1

    def set(self, number: NodeId, name: bytes, value: bytes, mode: XattrMode) -> None:
        """Set a value. The caller holds the layer's lock.

        Raises:
            AttributeExistsError, NoSuchAttributeError: As the mode demands.
            AttributeTooLargeError: The value exceeds what the kernel passes on.
            StreamsDisabledError: Streams are not shown as extended attributes.
            NotPermittedError: Links have no ``user.`` attributes.
            NotSupportedNodeError: The namespace, or the file, cannot hold any.
            OSError: The staging disk is full or broken.
        """
        owner = self._layer.owner(number)
        if name.startswith(NTFS_PREFIX):
            self._ntfs.set(owner, name.removeprefix(NTFS_PREFIX), value, mode)
            return
        node = self._settable(number, name)
        if len(value) > MAX_XATTR_NBYTES:
            raise AttributeTooLargeError(
                f"a value of {len(value)} bytes; {MAX_XATTR_NBYTES} are the most",
                hint="mount with --streams-interface=windows to write larger streams",
            )
        stream_name = name.removeprefix(USER_PREFIX)
        check_stream_name(stream_name)
        old = find_named(node, stream_name)
        if old is not None and mode is XattrMode.CREATE:
            raise AttributeExistsError(f"attribute {_shown(name)} exists")
        if old is None and mode is XattrMode.REPLACE:
            raise _no_such(name)
        if old is None:
            new = StagedStream(
                StreamKind.NAMED, stream_name, self._layer.store.new_id(), InlineData(value)
            )
        else:
            new = old._replace(source=InlineData(value))
        edit = self._layer.edit()
        edit.put(node.with_stream(new), with_streams=True)
        self._layer.commit(edit)
        if old is not None:
            self._contents.discard([old.source])

    def _settable(self, number: NodeId, name: bytes) -> StagedNode:
        self._require_xattr_interface()
        if not name.startswith(USER_PREFIX):
            raise NotSupportedNodeError(f"no attribute such as {_shown(name)} can be kept")
        self._layer.require(number)
        node = self._layer.node_with_streams(number)
        if node.type == stat.S_IFLNK:
            raise NotPermittedError("links have no user attributes")
        if node.attributes & FileAttribute.ENCRYPTED:
            raise NotSupportedNodeError("the streams of an encrypted file cannot be changed")
        return node

    def remove(self, number: NodeId, name: bytes) -> None:
        """Remove a value. The caller holds the layer's lock. Raises as ``set``."""
        owner = self._layer.owner(number)
        if name.startswith(NTFS_PREFIX):
            self._ntfs.remove(owner, name.removeprefix(NTFS_PREFIX))
            return
        self._require_xattr_interface()
        if not name.startswith(USER_PREFIX):
            raise _no_such(name)
        node = self._settable(number, name)
        old = find_named(node, name.removeprefix(USER_PREFIX))
        if old is None:
            raise _no_such(name)
        edit = self._layer.edit()
        edit.put(node.without_stream(old), with_streams=True)
        self._layer.commit(edit)
        self._contents.discard([old.source])

    def _require_xattr_interface(self) -> None:
        if self._layer.options.view.streams is not StreamsInterface.XATTR:
            raise StreamsDisabledError(
                "named streams are not shown as extended attributes",
                hint="mount with --streams-interface=xattr",
            )


def find_named(node: StagedNode, name: bytes) -> StagedStream | None:
    """Return a named stream; an exact match goes before one in another case."""
    named = [stream for stream in node.streams or () if stream.name]
    for stream in named:
        if stream.name == name:
            return stream
    wanted = folded(name)
    return next((stream for stream in named if folded(stream.name) == wanted), None)


def _limited(name: bytes, value: bytes | None) -> bytes:
    if value is None or len(value) > MAX_XATTR_NBYTES:
        raise AttributeTooLargeError(
            f"attribute {_shown(name)} is larger than {MAX_XATTR_NBYTES} bytes",
            hint="mount with --streams-interface=windows to read it",
        )
    return value


def _no_such(name: bytes) -> NoSuchAttributeError:
    return NoSuchAttributeError(f"no attribute {_shown(name)}")


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")
