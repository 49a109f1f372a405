"""The ``file:stream`` interface: named streams found, made and removed by names."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from wimtui.engine.errors import (
    InvalidNameError,
    NodeExistsError,
    NodeNotFoundError,
    NotSupportedNodeError,
)
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.named_streams import StreamPath
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.image.tagged_items import ItemTag, UnixData, set_item, unix_data
from wimtui.engine.image.view import StreamsInterface
from wimtui.engine.staging.names import check_stream_name
from wimtui.engine.staging.node import StagedFile, StagedNode, StagedStream
from wimtui.engine.staging.xattrs import find_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.staging.edit import Edit
    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import NodeId
    from wimtui.engine.tree import Creator


class StreamNames:
    """Names with a colon, where the options show streams so.

    Every method that changes anything is called under the layer's lock.
    """

    def __init__(self, layer: Layer) -> None:
        """Work on a layer."""
        self._layer = layer
        self._are_shown = layer.options.view.streams is StreamsInterface.WINDOWS

    def path(self, directory: NodeId, name: bytes) -> StreamPath | None:
        """Return which stream a name is of; None where it can only be that of a file."""
        if not self._are_shown or b":" not in name:
            return None
        return StreamPath.parse(name) if self._layer.lookup(directory, name) is None else None

    def lookup(self, directory: NodeId, path: StreamPath) -> NodeId | None:
        """Return the number of a stream, or None."""
        owner = self._layer.lookup(directory, path.file_name)
        if owner is None:
            return None
        if not path.stream_name:
            return owner if self._layer.type(owner) == stat.S_IFREG else None
        stream = find_named(self._layer.node_with_streams(owner), path.stream_name)
        return None if stream is None else stream.id

    def create(self, directory: NodeId, path: StreamPath, creator: Creator) -> NodeId:
        """Make an empty stream; returns its number. Raises NodeError."""
        self._layer.require_directory(directory)
        owner = self._layer.lookup(directory, path.file_name)
        if owner is None:
            raise NodeNotFoundError(f"no {path.file_name.decode(errors='replace')}")
        if self.lookup(directory, path) is not None:
            raise NodeExistsError("the stream exists")
        if not path.stream_name:
            raise InvalidNameError("what is no file has no unnamed data")
        if stat.S_IFMT(creator.mode) not in (0, stat.S_IFREG):
            raise NotSupportedNodeError("a stream can only be like a regular file")
        check_stream_name(path.stream_name)
        node = self._layer.node_with_streams(owner)
        if node.attributes & FileAttribute.ENCRYPTED:
            raise NotSupportedNodeError("the streams of an encrypted file cannot be changed")
        number = self._layer.store.new_id()
        source = StagedFile(self._layer.store.files.new_number())
        stream = StagedStream(StreamKind.NAMED, path.stream_name, number, source)
        edit = self._layer.edit()
        edit.put(node.with_stream(stream), with_streams=True)
        self._layer.commit(edit)
        return number

    def remove(self, directory: NodeId, path: StreamPath) -> NodeId:
        """Take a stream from its file; it lives on for whoever has it open. Raises NodeError."""
        self._layer.require_directory(directory)
        number = self.lookup(directory, path)
        if number is None:
            raise NodeNotFoundError("no such stream")
        if not path.stream_name:
            raise NotSupportedNodeError("the unnamed data cannot be removed without the file")
        node = self._layer.node_with_streams(self._layer.owner(number))
        stream = find_named(node, path.stream_name)
        if stream is None or node.attributes & FileAttribute.ENCRYPTED:
            raise NotSupportedNodeError("the streams of an encrypted file cannot be changed")
        edit = self._layer.edit()
        edit.put(node.without_stream(stream), with_streams=True)
        self._put_nameless(edit, node, stream)
        self._layer.commit(edit)
        self._layer.unlinked.add(number)
        return number

    def outlive(
        self, edit: Edit, owner: NodeId, is_known: Callable[[NodeId], bool]
    ) -> set[StagedStream]:
        """Have the streams that somebody refers to outlive the node that goes with an edit."""
        node = self._layer.node_with_streams(owner)
        kept = {s for s in node.streams or () if s.kind is StreamKind.NAMED and is_known(s.id)}
        for stream in kept:
            self._put_nameless(edit, node, stream)
        return kept

    def _put_nameless(self, edit: Edit, owner: StagedNode, stream: StagedStream) -> None:
        """Make a file without a name of a stream, under the stream's number."""
        tagged = b""
        item = unix_data(owner.tagged_items)
        if item is not None:
            mode = stat.S_IFREG | stat.S_IMODE(item.mode)
            packed = UnixData(item.uid, item.gid, mode, 0).pack()
            tagged = set_item(b"", ItemTag.UNIX_DATA, packed)
        node = StagedNode(
            stream.id,
            stat.S_IFREG,
            int(FileAttribute.NORMAL),
            creation_time=owner.creation_time,
            access_time=owner.access_time,
            write_time=owner.write_time,
            tagged_items=tagged,
            streams=(stream._replace(kind=StreamKind.DATA, name=b""),),
        )
        edit.put(node, with_streams=True)
