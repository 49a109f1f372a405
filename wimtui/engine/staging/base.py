"""The image under an overlay, asked by node number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.engine.image.details import file_streams
from wimtui.engine.image.named_streams import named_streams
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.image.view import ImageView
from wimtui.engine.staging.node import BaseBlob, Entry, StagedNode, StagedStream
from wimtui.engine.tree import Ino

if TYPE_CHECKING:
    from wimtui.engine.image.blobs import Blobs
    from wimtui.engine.image.metadata import ImageMetadata
    from wimtui.engine.image.view import ViewOptions
    from wimtui.engine.staging.node import NodeId


class BaseImage:
    """An image that does not change, for the overlay to look through to.

    Attributes:
        metadata: Its dentries and inodes.
        blobs: Where its streams are.
        view: The same as a tree; nodes have the same numbers.
        node_count: Its inodes are numbered from 1 to this.
    """

    def __init__(self, metadata: ImageMetadata, blobs: Blobs, options: ViewOptions) -> None:
        """Present an image as the overlay will."""
        self.metadata = metadata
        self.blobs = blobs
        self.view = ImageView(metadata, blobs, options)
        self.node_count = metadata.columns.inode_count
        self._columns = metadata.columns
        self._ignore_case = options.ignore_case
        self._linked: dict[NodeId, list[int]] | None = None

    def has_node(self, number: NodeId) -> bool:
        """Whether an inode has that number."""
        return 1 <= number <= self.node_count

    def stream_row(self, number: NodeId) -> int | None:
        """Return the row of a named stream by its number, or None for any other number."""
        row = number - self.node_count - 1
        if 0 <= row < self._columns.stream_count and self._columns.stream_owner(row):
            return row
        return None

    def stream_owner(self, number: NodeId) -> NodeId | None:
        """Return the node that has a named stream, or None for any other number."""
        row = self.stream_row(number)
        return None if row is None else self._columns.stream_owner(row)

    # Names

    def lookup(self, directory: NodeId, name: bytes) -> NodeId | None:
        """Return the node of exactly that name; None also where ``directory`` has no children."""
        found = self._columns.lookup_ino(directory, name)
        return found if found > 0 else None

    def spelling(self, directory: NodeId, name: bytes) -> bytes | None:
        """Return how a name that differs in case only is spelled."""
        dentry = self._columns.lookup(self.dentry(directory), name, ignore_case=True)
        return None if dentry < 0 else self._columns.name(dentry)

    def entry(self, directory: NodeId, name: bytes) -> Entry | None:
        """Return what exactly that name stands for."""
        dentry = self._columns.lookup(self.dentry(directory), name)
        if dentry < 0:
            return None
        return Entry(self._columns.ino(dentry), self._columns.short_name(dentry))

    def names(self, directory: NodeId) -> list[tuple[bytes, NodeId]]:
        """Return the visible names of a directory in collation order."""
        return self._columns.list_children(self.dentry(directory)) or []

    def dentry(self, node: NodeId) -> int:
        """Return the first dentry of a node."""
        return self._columns.first_dentry(node)

    def dentries(self, node: NodeId) -> list[int]:
        """Return every dentry of a node: one for each name."""
        first = self.dentry(node)
        if self._columns.link_count(node) <= 1:
            return [first]
        if self._linked is None:
            linked: dict[NodeId, list[int]] = {}
            columns = self._columns
            for dentry in range(columns.dentry_count):
                number = columns.ino(dentry)
                if number and columns.link_count(number) > 1:
                    linked.setdefault(number, []).append(dentry)
            self._linked = linked
        return self._linked.get(node, [first])

    def place(self, dentry: int) -> tuple[NodeId, bytes]:
        """Return the directory and the name of a dentry other than the root's."""
        return self._columns.ino(self._columns.parent(dentry)), self._columns.name(dentry)

    def parent(self, directory: NodeId) -> NodeId:
        """Return the parent of a directory; the root's is the root."""
        return self._columns.ino(self._columns.parent(self.dentry(directory)))

    def path(self, node: NodeId) -> bytes:
        """Return the path of a node's first name."""
        return self.metadata.path(self.dentry(node))

    # Nodes

    def type(self, node: NodeId) -> int:
        """Return S_IFDIR, S_IFREG or S_IFLNK."""
        return self._columns.node_type(self.dentry(node))

    def has_children(self, node: NodeId) -> bool:
        """Whether a node is a directory that can have children."""
        return self._columns.is_directory(self.dentry(node))

    def attributes(self, node: NodeId) -> int:
        """Return FILE_ATTRIBUTE_* bits."""
        return self._columns.attributes(self.dentry(node))

    def link_count(self, node: NodeId) -> int:
        """Return how many names a node has; 1 for directories."""
        if self._columns.is_directory(self.dentry(node)):
            return 1
        return self._columns.link_count(node)

    def node(self, number: NodeId) -> StagedNode:
        """Return a node as the image has it, its streams left to the image."""
        columns = self._columns
        dentry = columns.first_dentry(number)
        created, accessed, written = columns.times(dentry)
        tag, reserved, rp_flags = columns.reparse_fields(dentry)
        return StagedNode(
            number,
            columns.node_type(dentry),
            columns.attributes(dentry),
            columns.security_id(dentry),
            None,
            created,
            accessed,
            written,
            False,
            tag,
            reserved,
            rp_flags,
            columns.tagged_items(dentry),
        )

    def streams(self, node: NodeId) -> tuple[StagedStream, ...]:
        """Return a node's streams with their numbers."""
        dentry = self.dentry(node)
        numbers = self.named_stream_ids(node)
        return tuple(
            StagedStream(
                stream.kind,
                stream.name,
                {StreamKind.DATA: node, StreamKind.NAMED: numbers.get(stream.name, 0)}.get(
                    stream.kind, 0
                ),
                BaseBlob(stream.sha1),
            )
            for stream in file_streams(self.metadata, dentry)
        )

    def named_stream_ids(self, node: NodeId) -> dict[bytes, NodeId]:
        """Return the numbers of a node's named streams by name."""
        dentry = self.dentry(node)
        if not self._columns.has_side(dentry):
            return {}
        first = self.node_count + 1
        return {stream.name: first + stream.row for stream in named_streams(self._columns, dentry)}

    def size(self, node: NodeId) -> int:
        """Return the size that stat shows."""
        return self.view.attributes(Ino(node)).size
