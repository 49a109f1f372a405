"""Metadata resources written from a tree of nodes (wim-container 13.9)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wimtui.engine.errors import InvalidNameError
from wimtui.engine.image._metadata_emit import Emitter
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.blobs import ZERO_SHA1
from wimtui.engine.image.metadata import ROOT_DENTRY
from wimtui.engine.image.named_streams import named_streams
from wimtui.engine.image.names import collation_key, upcase_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wimtui.engine.image.metadata import ImageMetadata

_REPARSE_POINT = int(FileAttribute.REPARSE_POINT)
"""A plain number: an operation on an IntFlag costs as much as all else that is done for a node."""


@dataclass(slots=True)
class DentryNode:
    """What is to be written of one dentry; names are WTF-8, times ticks."""

    name: bytes
    """Ignored for the root."""
    attributes: int
    security_id: int = -1
    creation_time: int = 0
    access_time: int = 0
    write_time: int = 0
    content_sha1: bytes = ZERO_SHA1
    """EFS data of an encrypted file, reparse data of a reparse point, else the unnamed data."""
    data_sha1: bytes = ZERO_SHA1
    """Unnamed data of a reparse point."""
    named_streams: tuple[tuple[bytes, bytes], ...] = ()
    """(name, SHA-1); left out for encrypted files, whose raw data contain them."""
    reparse_tag: int = 0
    reparse_reserved: int = 0
    rp_flags: int = 0
    group_id: int = 0
    """Non-zero and the same for all names of a file that has several; 0 for a single name.

    Directories and reparse points are written without it.
    """
    short_name: bytes = b""
    tagged_items: bytes = b""
    unknown_0x54: int = 0
    children: list[DentryNode] = field(default_factory=list)
    source: int = -1
    """Whatever tells the caller's ``children_of`` which node this is."""


def _children(node: DentryNode) -> Iterable[DentryNode]:
    return node.children


def write_metadata(
    root: DentryNode,
    security_data: bytes,
    children_of: Callable[[DentryNode], Iterable[DentryNode]] = _children,
) -> bytes:
    """Return a metadata resource.

    Args:
        root: A plain directory.
        security_data: The table of descriptors as stored (``SecurityData.raw``).
        children_of: Called once for each plain directory, in pre-order; what it returns is let go
            of soon, so a tree need not exist as a whole.

    Raises:
        InvalidNameError: A name is empty, or two children of a directory have the same name.
        NameEncodingError: A name is not UTF-8.
        LimitError: A name or a file's number of streams exceeds the format.
    """
    emitter = Emitter(security_data, upcase_table())
    pending = [(root, emitter.add_root(root))]
    while pending:
        node, offset = pending.pop()
        children = list(children_of(node))
        directories = emitter.add_children(offset, children)
        if directories is None:
            children.sort(key=lambda child: collation_key(child.name))
            directories = emitter.add_children(offset, children)
        if directories is None:
            raise InvalidNameError(f"two entries with one name in directory {node.name!r}")
        pending.extend(reversed(directories))
    return emitter.getvalue()


class ImageNodes:
    """Nodes of an unchanged image, made when asked for.

    Attributes:
        group_ids: Hard-link group id by inode number, for inodes with several names.
    """

    __slots__ = ("_columns", "group_ids")

    def __init__(self, metadata: ImageMetadata) -> None:
        """Take stored group ids over where they are unique."""
        self._columns = metadata.columns
        self.group_ids: dict[int, int] = {}
        columns = self._columns
        used: set[int] = set()
        homeless = []
        for ino in range(1, columns.inode_count + 1):
            if columns.link_count(ino) > 1:
                group = columns.group_id(columns.first_dentry(ino))
                if group in used:
                    homeless.append(ino)
                else:
                    used.add(group)
                    self.group_ids[ino] = group
        candidate = 1
        for ino in homeless:
            while candidate in used:
                candidate += 1
            used.add(candidate)
            self.group_ids[ino] = candidate

    def root(self) -> DentryNode:
        """Return the root's node."""
        return self.node(ROOT_DENTRY)

    def children(self, node: DentryNode) -> list[DentryNode]:
        """Return the children of a node made here, hidden ones included."""
        first, count = self._columns.children(node.source)
        return [self.node(dentry) for dentry in range(first, first + count)]

    def node(self, dentry: int) -> DentryNode:
        """Return one dentry's node, whose ``source`` is the dentry."""
        columns = self._columns
        ino = columns.ino(dentry)
        first = columns.first_dentry(ino)
        attributes = columns.attributes(first)
        created, accessed, written = columns.times(first)
        node = DentryNode(
            columns.name(dentry),
            attributes,
            columns.security_id(first),
            created,
            accessed,
            written,
            columns.content_sha1(first),
            short_name=columns.short_name(dentry),
            source=dentry,
        )
        if attributes & _REPARSE_POINT:
            fields = columns.reparse_fields(first)
            node.reparse_tag, node.reparse_reserved, node.rp_flags = fields
        if columns.has_side(first):
            streams = named_streams(columns, first)
            node.named_streams = tuple((stream.name, stream.sha1) for stream in streams)
            node.data_sha1 = streams.data_sha1
            node.tagged_items = columns.tagged_items(first)
            node.unknown_0x54 = columns.unknown_0x54(first)
        node.group_id = self.group_ids.get(ino, 0)
        return node
