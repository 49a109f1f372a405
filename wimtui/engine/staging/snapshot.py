"""The merged tree at one moment, for a commit to read while writing goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from wimtui.engine.image.attributes import is_plain_directory
from wimtui.engine.image.names import collation_key
from wimtui.engine.staging.node import FIRST_NEW_ID, BaseBlob, Entry, InlineData, StagedFile
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wimtui.engine.image.streams import StreamKind
    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import NodeId, StagedNode, StagedStream
    from wimtui.engine.staging.staged_files import StagedFiles


class SnapshotName(NamedTuple):
    """A name in a directory of the merged tree."""

    name: bytes
    short_name: bytes
    node: NodeId
    """Hard-link identity: the names of one file have the same."""
    dentry: int
    """Dentry of the base image that says all about name and node unchanged, or -1.

    Its children may differ nevertheless, see ``Snapshot.is_unchanged_below``.
    """


@dataclass(frozen=True, slots=True)
class BlobStream:
    """A stream that the base image's archive has already."""

    kind: StreamKind
    name: bytes
    sha1: bytes
    """Zero for no bytes."""


@dataclass(frozen=True, slots=True)
class FileStream:
    """A stream in a staged file, which does not change while the snapshot lives."""

    kind: StreamKind
    name: bytes
    path: str
    size: int
    """0 also where the file does not exist, since nobody wrote to it."""


@dataclass(frozen=True, slots=True)
class InlineStream:
    """A stream given here."""

    kind: StreamKind
    name: bytes
    data: bytes


SnapshotStream = BlobStream | FileStream | InlineStream


@dataclass(frozen=True, slots=True)
class SnapshotNode:
    """All of a node but its names and children."""

    id: NodeId
    type: int
    """S_IFDIR, S_IFREG or S_IFLNK; only plain directories have children."""
    base_dentry: int
    """First dentry of the node in the base image, for fields that only the image knows; or -1."""
    attributes: int
    security_id: int
    descriptor: bytes | None
    """A security descriptor to be added to the image's table instead of ``security_id``."""
    creation_time: int
    """Ticks, like the other times."""
    access_time: int
    write_time: int
    reparse_tag: int
    reparse_reserved: int
    rp_flags: int
    tagged_items: bytes
    unknown_0x54: int
    link_count: int
    """Names that the node has in the snapshot."""
    streams: tuple[SnapshotStream, ...]


class Snapshot:
    """A frozen merged tree. Safe to read in any thread while the overlay changes.

    Staged files that it refers to do not change until ``release``: who writes to one meanwhile
    writes to a copy. There is at most one snapshot of an overlay at a time.

    Attributes:
        base: The image under it.
        nodes: What was staged of nodes, as the overlay had it.
        directories: What was staged of names, by directory.
        frozen: Numbers of the staged files that it reads.
    """

    def __init__(
        self,
        layer: Layer,
        write_time: Callable[[StagedNode], int],
        on_release: Callable[[Snapshot], None],
    ) -> None:
        """Freeze a layer; use ``Overlay.freeze``."""
        self.base = layer.base
        self.nodes = dict(layer.nodes)
        self.directories = {
            number: dict(delta.entries) for number, delta in layer.directories.items()
        }
        self.frozen = frozenset(
            number for node in self.nodes.values() for number in node.staged_files()
        )
        self._files: StagedFiles = layer.store.files
        self._links = layer.link_changes()
        # Taken at once, since setting times marks even a file that may not change.
        self._write_times = {
            number: write_time(node) for number, node in self.nodes.items() if node.streams
        }
        self._changed_below = self._find_changed(layer.parent)
        self._on_release = on_release

    def _find_changed(self, parent: Callable[[NodeId], NodeId]) -> frozenset[NodeId]:
        """Return every directory with a change in it or below it."""
        nearest = set(self.directories)
        for number in self.nodes:
            if number != ROOT_INO and self.base.has_node(number):
                nearest.update(self.base.place(d)[0] for d in self.base.dentries(number))
        changed: set[NodeId] = set()
        for number in nearest:
            above = number
            while above not in changed:
                changed.add(above)
                above = parent(above)
        return frozenset(changed)

    def release(self) -> None:
        """Let the staged files change again. Harmless when done twice."""
        self._on_release(self)

    # The tree

    def is_unchanged_below(self, directory: NodeId) -> bool:
        """Whether names and nodes in a directory and all below it are those of the base image.

        Of the directory itself that is said by the ``dentry`` of its name.
        """
        return directory < FIRST_NEW_ID and directory not in self._changed_below

    def children(self, directory: NodeId) -> list[SnapshotName]:
        """Return the names in a plain directory in collation order, hidden ones included."""
        delta = self.directories.get(directory, {})
        names: list[SnapshotName] = []
        if directory < FIRST_NEW_ID:
            columns = self.base.metadata.columns
            first, count = columns.children(self.base.dentry(directory))
            for dentry in range(first, first + count):
                name = columns.name(dentry)
                if name not in delta:
                    number = columns.ino(dentry)
                    known = -1 if self.is_changed(number) else dentry
                    names.append(SnapshotName(name, columns.short_name(dentry), number, known))
        added = [
            SnapshotName(name, entry.short_name, entry.node, -1)
            for name, entry in delta.items()
            if entry is not None
        ]
        if added:
            names += added
            names.sort(key=lambda item: collation_key(item.name))
        return names

    def is_changed(self, number: NodeId) -> bool:
        """Whether a node differs from the base image in itself or in its number of names."""
        return number in self.nodes or number in self._links

    def entry(self, directory: NodeId, name: bytes) -> Entry | None:
        """Return what exactly that name stands for."""
        delta = self.directories.get(directory)
        if delta is not None and name in delta:
            return delta[name]
        return self.base.entry(directory, name) if directory < FIRST_NEW_ID else None

    def is_hidden(self, dentry: int) -> bool:
        """Whether Linux cannot hold the name of a dentry of the base image."""
        return self.base.metadata.columns.is_hidden(dentry)

    def named_stream_ids(self, number: NodeId) -> dict[bytes, NodeId]:
        """Return the numbers of a node's named streams by name."""
        node = self.nodes.get(number)
        if node is None or node.streams is None:
            return self.base.named_stream_ids(number)
        return {stream.name: stream.id for stream in node.streams if stream.name}

    def walk(self) -> Iterator[tuple[NodeId, SnapshotName]]:
        """Yield (directory, name) of everything but the root, in pre-order."""
        pending: list[tuple[NodeId, SnapshotName]] = [
            (ROOT_INO, name) for name in reversed(self.children(ROOT_INO))
        ]
        while pending:
            directory, name = pending.pop()
            yield directory, name
            if self.has_children(name.node):
                below = reversed(self.children(name.node))
                pending.extend((name.node, child) for child in below)

    def has_children(self, number: NodeId) -> bool:
        """Whether a node is a plain directory."""
        node = self.nodes.get(number)
        if node is None:
            return self.base.has_children(number)
        return is_plain_directory(node.attributes)

    # Nodes

    def link_count(self, number: NodeId) -> int:
        """Return how many names a node has."""
        own = 0
        if number == ROOT_INO:
            own = 1
        elif self.base.has_node(number):
            own = self.base.link_count(number)
        return own + self._links.get(number, 0)

    def staged_nodes(self) -> Iterator[SnapshotNode]:
        """Yield every node that is new or changed and has a name: what may have new streams."""
        for number in self.nodes:
            if self.link_count(number) > 0:
                yield self.node(number)

    def node(self, number: NodeId) -> SnapshotNode:
        """Return a node, changed or not; 1 is the root."""
        node = self.nodes.get(number)
        if node is None:
            node = self.base.node(number)
        streams = self.base.streams(number) if node.streams is None else node.streams
        base_dentry = -1 if node.is_new else self.base.dentry(number)
        columns = self.base.metadata.columns
        return SnapshotNode(
            id=number,
            type=node.type,
            base_dentry=base_dentry,
            attributes=node.attributes,
            security_id=node.security_id,
            descriptor=node.descriptor,
            creation_time=node.creation_time,
            access_time=node.access_time,
            write_time=self._write_times.get(number, node.write_time),
            reparse_tag=node.reparse_tag,
            reparse_reserved=node.reparse_reserved,
            rp_flags=node.rp_flags,
            tagged_items=node.tagged_items,
            unknown_0x54=0 if base_dentry < 0 else columns.unknown_0x54(base_dentry),
            link_count=self.link_count(number),
            streams=tuple(self._stream(stream) for stream in streams),
        )

    def _stream(self, stream: StagedStream) -> SnapshotStream:
        match stream.source:
            case BaseBlob(sha1):
                return BlobStream(stream.kind, stream.name, sha1)
            case StagedFile(number):
                size = self._files.size(number)
                return FileStream(stream.kind, stream.name, self._files.path(number), size)
            case InlineData(data):
                return InlineStream(stream.kind, stream.name, data)
