"""The merged tree of an overlay as the writer takes it."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from wimtui.engine.commit.sources import FileSource, MemorySource
from wimtui.engine.image.attributes import FileAttribute, is_plain_directory
from wimtui.engine.image.blobs import ZERO_SHA1
from wimtui.engine.image.metadata_writer import DentryNode, ImageNodes
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.staging.snapshot import BlobStream, FileStream
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.staging.node import NodeId
    from wimtui.engine.staging.snapshot import (
        Snapshot,
        SnapshotName,
        SnapshotNode,
        SnapshotStream,
    )

_FIRST_BASE_SOURCE = -2
"""``source`` of a node whose whole subtree is the base image's: this less its dentry.

Other nodes have their number there.
"""


class StagedTree:
    """A TreeSnapshot of a staging snapshot, which must not be released before the commit ends."""

    def __init__(self, snapshot: Snapshot, *, has_changes: bool | None = None) -> None:
        """Take the changed nodes in; ``has_changes`` replaces the look at what was staged."""
        self._snapshot = snapshot
        self._base = ImageNodes(snapshot.base.metadata)
        self._groups = dict(self._base.group_ids)
        self._next_group = 1 + max(self._groups.values(), default=0)
        self._sources: dict[bytes, BlobSource] = {}
        self._tokens: dict[str | bytes, bytes] = {}
        self._places: dict[NodeId, tuple[NodeId, bytes]] | None = None
        """Directory and name of nodes that have a staged name."""
        changed = list(snapshot.staged_nodes())
        if has_changes is None:
            has_changes = bool(changed) or any(snapshot.directories.values())
        self.has_changes = has_changes
        """Whether anything differs from the base image."""
        described = [node for node in changed if node.descriptor is not None]
        security, ids = snapshot.base.metadata.security.extended(
            node.descriptor for node in described if node.descriptor is not None
        )
        self.security_data = security.raw
        """The base image's table, with the descriptors that were set."""
        self._security_ids = dict(zip((node.id for node in described), ids, strict=True))
        for node in changed:
            for stream in node.streams:
                self._sha1(stream, node.id)

    def root(self) -> DentryNode:
        """Return the root's node."""
        return self._node(b"", b"", ROOT_INO)

    def children(self, node: DentryNode) -> list[DentryNode]:
        """Return the entries of a plain directory, hidden ones included."""
        if node.source <= _FIRST_BASE_SOURCE:
            node.source = _FIRST_BASE_SOURCE - node.source
            children = self._base.children(node)
            node.source = _FIRST_BASE_SOURCE - node.source
            for child in children:
                child.source = _FIRST_BASE_SOURCE - child.source
            return children
        return [self._named(name) for name in self._snapshot.children(node.source)]

    def staged(self) -> Mapping[bytes, BlobSource]:
        """Return the data behind each token."""
        return self._sources

    def _named(self, name: SnapshotName) -> DentryNode:
        if name.dentry < 0:
            return self._node(name.name, name.short_name, name.node)
        node = self._base.node(name.dentry)
        if self._snapshot.is_unchanged_below(name.node):
            node.source = _FIRST_BASE_SOURCE - name.dentry
        else:
            node.source = name.node
        return node

    def _node(self, name: bytes, short_name: bytes, number: NodeId) -> DentryNode:
        staged = self._snapshot.node(number)
        attributes = staged.attributes
        node = DentryNode(
            name,
            attributes,
            self._security_ids.get(number, staged.security_id),
            staged.creation_time,
            staged.access_time,
            staged.write_time,
            reparse_tag=staged.reparse_tag,
            reparse_reserved=staged.reparse_reserved,
            rp_flags=staged.rp_flags,
            group_id=self._group(staged),
            short_name=short_name,
            tagged_items=staged.tagged_items,
            unknown_0x54=staged.unknown_0x54,
            source=number,
        )
        content = StreamKind.DATA
        if attributes & FileAttribute.ENCRYPTED:
            content = StreamKind.EFS
        elif attributes & FileAttribute.REPARSE_POINT:
            content = StreamKind.REPARSE
        for stream in staged.streams:
            sha1 = self._sha1(stream, number)
            if stream.kind is content:
                node.content_sha1 = sha1
            elif stream.kind is StreamKind.DATA:
                node.data_sha1 = sha1
            elif stream.kind is StreamKind.NAMED:
                node.named_streams = (*node.named_streams, (stream.name, sha1))
        return node

    def _group(self, staged: SnapshotNode) -> int:
        """Return the hard-link group of a node: its old one where it had one."""
        single = staged.link_count <= 1 or is_plain_directory(staged.attributes)
        if single or staged.attributes & FileAttribute.REPARSE_POINT:
            return 0
        group = self._groups.get(staged.id)
        if group is None:
            group = self._groups[staged.id] = self._next_group
            self._next_group += 1
        return group

    def _sha1(self, stream: SnapshotStream, number: NodeId) -> bytes:
        """Return the hash of a stream, or a token for data that has not been hashed."""
        if isinstance(stream, BlobStream):
            return stream.sha1
        key: str | bytes
        source: BlobSource
        path = partial(self._path, number, stream.name)
        if isinstance(stream, FileStream):
            key, source = stream.path, FileSource(stream.path, stream.size, path)
        else:
            key, source = stream.data, MemorySource(stream.data, path)
        if source.size == 0:
            return ZERO_SHA1
        token = self._tokens.get(key)
        if token is None:
            token = b"staged data " + len(self._tokens).to_bytes(8, "big")
            self._tokens[key] = token
            self._sources[token] = source
        return token

    def _path(self, number: NodeId, stream_name: bytes) -> str:
        """Return where a node lies, with the name of one of its streams."""
        names: list[bytes] = []
        while number != ROOT_INO:
            number, name = self._place(number)
            names.append(name)
        path = b"/" + b"/".join(reversed(names))
        return os.fsdecode(path + b":" + stream_name if stream_name else path)

    def _place(self, number: NodeId) -> tuple[NodeId, bytes]:
        """Return the directory and the name of a node, of one of its names."""
        snapshot = self._snapshot
        if self._places is None:
            self._places = {
                entry.node: (directory, name)
                for directory, names in snapshot.directories.items()
                for name, entry in names.items()
                if entry is not None
            }
        if number in self._places:
            return self._places[number]
        places = [snapshot.base.place(dentry) for dentry in snapshot.base.dentries(number)]
        left = (p for p in places if p[1] not in snapshot.directories.get(p[0], {}))
        return next(left, places[0])
