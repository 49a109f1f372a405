"""The merged tree: what is staged, over the image; asked and changed by node number."""

from __future__ import annotations

import bisect
import stat
import threading
import time
from typing import TYPE_CHECKING, Final

from wimtui.engine.errors import (
    NodeNotFoundError,
    NotADirectoryNodeError,
    NotSupportedNodeError,
    StaleNodeError,
)
from wimtui.engine.image.attributes import is_plain_directory
from wimtui.engine.image.names import collation_key
from wimtui.engine.staging.directory_delta import DirectoryDelta, folded
from wimtui.engine.staging.edit import Edit
from wimtui.engine.staging.node import FIRST_NEW_ID, BaseBlob, Entry
from wimtui.engine.timestamps import ns_to_ticks
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from wimtui.engine.image.blobs import Blobs
    from wimtui.engine.staging.base import BaseImage
    from wimtui.engine.staging.edit import EntryChange
    from wimtui.engine.staging.node import NodeId, StagedNode
    from wimtui.engine.staging.options import OverlayOptions
    from wimtui.engine.staging.store import StagingStore

_FEW: Final = 16
"""Additions to a listing that are cheaper to insert one by one than to sort with it."""


class Layer:
    """Memory and store of one overlay.

    Changes are made under ``lock`` by ``commit``: first in the database, then here. Looking needs
    no lock, as values are replaced and never edited.

    Attributes:
        nodes: What is staged of nodes.
        directories: What is staged of names, by directory.
        stream_owners: Nodes by the numbers of their named streams, where those are staged.
        unlinked: Nodes without a name that somebody may still refer to.
        former_blobs: Where images that commits have replaced had the streams of such nodes.
    """

    def __init__(self, base: BaseImage, store: StagingStore, options: OverlayOptions) -> None:
        """Take over what the store has."""
        self.base = base
        self.store = store
        self.options = options
        self.lock = threading.RLock()
        self.clock: Callable[[], int] = time.time_ns
        self.nodes: dict[NodeId, StagedNode] = {}
        self.directories: dict[NodeId, DirectoryDelta] = {}
        self.stream_owners: dict[NodeId, NodeId] = {}
        self.unlinked: set[NodeId] = set()
        self.former_blobs: list[Blobs] = []
        self._links: dict[NodeId, int] = {}
        self._parents: dict[NodeId, NodeId] = {}
        self.load(store.nodes.values(), store.entries)
        self._drop_orphans()

    def load(
        self, nodes: Iterable[StagedNode], entries: Iterable[tuple[NodeId, bytes, Entry | None]]
    ) -> None:
        """Take over what the database holds, in place of what was there."""
        self.nodes.clear()
        self.directories.clear()
        self.stream_owners.clear()
        self._links.clear()
        self._parents.clear()
        for node in nodes:
            self._apply_node(node)
        for directory, name, entry in entries:
            self._apply_entry(directory, name, entry)

    def _drop_orphans(self) -> None:
        """Forget nodes that were unlinked and open when the last process ended."""
        edit = self.edit()
        files = []
        for number, node in self.nodes.items():
            if self.link_count(number) == 0:
                edit.drop(number)
                files += node.staged_files()
        if edit.nodes:
            self.commit(edit)
            self.store.discard_files(files)

    # Changing

    def now(self) -> int:
        """Return the time in ticks."""
        return ns_to_ticks(self.clock())

    def edit(self) -> Edit:
        """Return an empty edit."""
        return Edit(self.base)

    def touch(self, edit: Edit, directory: NodeId) -> None:
        """Give a directory whose names change the time of this moment."""
        node = edit.nodes.get(directory) or self.node(directory)
        edit.put(node._replace(write_time=self.now()))

    def commit(self, edit: Edit) -> None:
        """Make an edit true: in the database, then here. Raises OSError; nothing has changed then.

        The caller holds ``lock``.
        """
        self.store.write(edit)
        for node in edit.nodes.values():
            if node is not None:
                self._apply_node(node)
        for (directory, name), change in edit.entries.items():
            self._apply_entry(directory, name, change)
        for number, dropped in edit.nodes.items():
            if dropped is None:
                self._forget_node(number)

    def _apply_node(self, node: StagedNode) -> None:
        old = self.nodes.get(node.id)
        self.nodes[node.id] = node
        if old is None or old.streams is not node.streams:
            self._forget_streams(old)
            for stream in node.streams or ():
                if stream.name:
                    self.stream_owners[stream.id] = node.id

    def _forget_streams(self, node: StagedNode | None) -> None:
        for stream in (node.streams if node is not None else None) or ():
            self.stream_owners.pop(stream.id, None)

    def _forget_node(self, number: NodeId) -> None:
        self._forget_streams(self.nodes.pop(number, None))
        if number >= FIRST_NEW_ID:
            self._parents.pop(number, None)
            self._links.pop(number, None)
            self.directories.pop(number, None)

    def _apply_entry(self, directory: NodeId, name: bytes, change: EntryChange) -> None:
        before = self.entry(directory, name)
        delta = self.directories.setdefault(directory, DirectoryDelta())
        delta.set(name, change)
        if not delta.entries:
            del self.directories[directory]
        after = self.entry(directory, name)
        if before is not None:
            self._add_link(before.node, -1)
        if after is not None:
            self._add_link(after.node, 1)
            if self.type(after.node) == stat.S_IFDIR:
                self._parents[after.node] = directory

    def _add_link(self, number: NodeId, count: int) -> None:
        links = self._links.get(number, 0) + count
        if links:
            self._links[number] = links
        else:
            self._links.pop(number, None)

    # Nodes

    def exists(self, number: NodeId) -> bool:
        """Whether there is a node of that number, with a name or not."""
        return number in self.nodes or self.base.has_node(number)

    def require(self, number: NodeId) -> None:
        """Raise StaleNodeError unless there is a node of that number."""
        if number not in self.nodes and not self.base.has_node(number):
            raise StaleNodeError(f"no node {number} in this mount")

    def node(self, number: NodeId) -> StagedNode:
        """Return a node, as staged or as in the image. Raises StaleNodeError."""
        staged = self.nodes.get(number)
        if staged is not None:
            return staged
        self.require(number)
        return self.base.node(number)

    def node_with_streams(self, number: NodeId) -> StagedNode:
        """Return a node that lists all its streams. Raises StaleNodeError."""
        node = self.node(number)
        if node.streams is None:
            return node._replace(streams=self.base.streams(number))
        return node

    def owner(self, number: NodeId) -> NodeId:
        """Return the node of a named stream's number, and any node's number itself.

        Raises StaleNodeError.
        """
        if number in self.nodes or self.base.has_node(number):
            return number
        found = self.stream_owners.get(number)
        if found is not None:
            return found
        found = self.base.stream_owner(number)
        if found is not None:
            staged = self.nodes.get(found)
            if staged is None or staged.streams is None:
                return found
        raise StaleNodeError(f"no node {number} in this mount")

    def type(self, number: NodeId) -> int:
        """Return S_IFDIR, S_IFREG or S_IFLNK. Raises StaleNodeError."""
        staged = self.nodes.get(number)
        if staged is not None:
            return staged.type
        self.require(number)
        return self.base.type(number)

    def attribute_bits(self, number: NodeId) -> int:
        """Return FILE_ATTRIBUTE_*. Raises StaleNodeError."""
        staged = self.nodes.get(number)
        if staged is not None:
            return staged.attributes
        self.require(number)
        return self.base.attributes(number)

    def link_count(self, number: NodeId) -> int:
        """Return how many names a node has: for directories 1, or 0 once removed."""
        own = 1 if number == ROOT_INO else 0
        if number != ROOT_INO and self.base.has_node(number):
            own = self.base.link_count(number)
        return own + self._links.get(number, 0)

    def link_change(self, number: NodeId) -> int:
        """Return how many names more or fewer a node has than in the image."""
        return self._links.get(number, 0)

    def link_changes(self) -> dict[NodeId, int]:
        """Return a copy of ``link_change`` for every node where it is not 0."""
        return dict(self._links)

    def blobs_with(self, sha1: bytes) -> Blobs:
        """Return where a blob is: the image's blobs unless only those of a former image have it."""
        known = self.base.blobs
        if self.former_blobs and any(sha1) and known.size(sha1) is None:
            return next((each for each in self.former_blobs if each.size(sha1) is not None), known)
        return known

    def reads_former(self) -> bool:
        """Whether a node without a name has data that only a replaced image has.

        Such a node can be opened as long as somebody refers to it, as O_PATH does, open or not.
        """
        if not self.former_blobs:
            return False
        nodes = (self.nodes.get(number) for number in self.unlinked)
        streams = (stream for node in nodes if node for stream in node.streams or ())
        sources = (stream.source for stream in streams)
        return any(
            isinstance(source, BaseBlob) and self.blobs_with(source.sha1) is not self.base.blobs
            for source in sources
        )

    def blob_size(self, sha1: bytes) -> int:
        """Return the bytes of a blob; a missing one has none."""
        return self.blobs_with(sha1).size(sha1) or 0 if any(sha1) else 0

    # Names

    def has_children(self, number: NodeId) -> bool:
        """Whether a node is a directory that can have children. Raises StaleNodeError."""
        staged = self.nodes.get(number)
        if staged is not None:
            return is_plain_directory(staged.attributes)
        self.require(number)
        return self.base.has_children(number)

    def require_directory(self, number: NodeId) -> None:
        """Raise unless names can be put into a node.

        Raises:
            NotADirectoryNodeError: It is no directory.
            NotSupportedNodeError: It is a reparse point that is shown as a directory.
            NodeNotFoundError: It was removed.
            StaleNodeError: There is no such node.
        """
        self.owner(number)
        if not self.exists(number) or self.type(number) != stat.S_IFDIR:
            raise NotADirectoryNodeError(f"node {number} is no directory")
        if not self.has_children(number):
            raise NotSupportedNodeError("a reparse point cannot have children")
        if self.link_count(number) == 0:
            raise NodeNotFoundError("the directory was removed")

    def entry(self, directory: NodeId, name: bytes) -> Entry | None:
        """Return what exactly that name stands for."""
        delta = self.directories.get(directory)
        if delta is not None and name in delta.entries:
            return delta.entries[name]
        return self.base.entry(directory, name) if directory < FIRST_NEW_ID else None

    def lookup(self, directory: NodeId, name: bytes) -> NodeId | None:
        """Return the node of a name, spelled in any case where the options say so."""
        delta = self.directories.get(directory)
        found: NodeId | None
        if delta is not None and name in delta.entries:
            entry = delta.entries[name]
            found = None if entry is None else entry.node
        else:
            found = self.base.lookup(directory, name) if directory < FIRST_NEW_ID else None
        if found is None and self.options.view.ignore_case:
            spelling = self.spelling(directory, name)
            if spelling is not None and spelling != name:
                entry = self.entry(directory, spelling)
                return None if entry is None else entry.node
        return found

    def spelling(self, directory: NodeId, name: bytes) -> bytes | None:
        """Return how an existing name is spelled; an exact match goes first, then any case.

        Without the option to ignore case only the exact match counts.
        """
        if self.entry(directory, name) is not None:
            return name
        if not self.options.view.ignore_case:
            return None
        delta = self.directories.get(directory)
        if delta is not None:
            known = delta.spelling(name)
            if known is not None:
                return known
        if directory >= FIRST_NEW_ID:
            return None
        known = self.base.spelling(directory, name)
        if known is None or delta is None or known not in delta.entries:
            return known
        wanted = folded(name)
        return next((other for other, _ in self.names(directory) if folded(other) == wanted), None)

    def names(self, directory: NodeId) -> list[tuple[bytes, NodeId]]:
        """Return the names of a directory in collation order; not to be changed."""
        delta = self.directories.get(directory)
        if delta is None:
            return self.base.names(directory) if directory < FIRST_NEW_ID else []
        if delta.listing is None:
            delta.listing = self._merge(directory, delta.entries)
        return delta.listing

    def _merge(
        self, directory: NodeId, entries: dict[bytes, Entry | None]
    ) -> list[tuple[bytes, NodeId]]:
        known = self.base.names(directory) if directory < FIRST_NEW_ID else []
        merged = [pair for pair in known if pair[0] not in entries]
        added = [(name, entry.node) for name, entry in entries.items() if entry is not None]
        if len(added) * _FEW < len(merged):
            for pair in added:
                bisect.insort(merged, pair, key=_pair_key)
        else:
            merged += added
            merged.sort(key=_pair_key)
        return merged

    def places(self, number: NodeId) -> Iterator[tuple[NodeId, bytes]]:
        """Yield directory and name of every name of a node: those of the image first."""
        if self.base.has_node(number):
            for dentry in self.base.dentries(number):
                directory, name = self.base.place(dentry)
                entry = self.entry(directory, name)
                if entry is not None and entry.node == number:
                    yield directory, name
        for directory, delta in list(self.directories.items()):
            for name, entry in list(delta.entries.items()):
                if entry is not None and entry.node == number:
                    known = directory < FIRST_NEW_ID and self.base.lookup(directory, name)
                    if known != number:
                        yield directory, name

    def parent(self, directory: NodeId) -> NodeId:
        """Return the parent of a directory; the root's is the root."""
        known = self._parents.get(directory)
        if known is not None:
            return known
        return self.base.parent(directory) if self.base.has_node(directory) else ROOT_INO

    def is_below(self, directory: NodeId, other: NodeId) -> bool:
        """Whether a directory is another one or lies below it."""
        while directory not in (other, ROOT_INO):
            directory = self.parent(directory)
        return directory == other

    def path(self, directory: NodeId, name: bytes = b"") -> bytes:
        """Return the path of a name in a directory, or of the directory itself."""
        names = [name] if name else []
        while directory != ROOT_INO:
            above = self.parent(directory)
            names.append(self.name_of_directory(above, directory))
            directory = above
        return b"/" + b"/".join(reversed(names))

    def name_of_directory(self, parent: NodeId, directory: NodeId) -> bytes:
        """Return the name that a directory has in its parent; ``?`` for a removed one."""
        delta = self.directories.get(parent)
        entries = {} if delta is None else delta.entries
        if self.base.has_node(directory):
            name = self.base.place(self.base.dentry(directory))[1]
            entry = self.entry(parent, name)
            if entry is not None and entry.node == directory:
                return name
        for name, entry in entries.items():
            if entry is not None and entry.node == directory:
                return name
        return b"?"


def _pair_key(pair: tuple[bytes, NodeId]) -> tuple[bytes, bytes]:
    return collation_key(pair[0])
