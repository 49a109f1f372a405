"""Putting an overlay over the image that a commit has made of it, without unmounting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.engine.errors import MetadataError
from wimtui.engine.staging.base import BaseImage
from wimtui.engine.staging.edit import Edit
from wimtui.engine.staging.node import FIRST_NEW_ID, BaseBlob, Entry, StagedFile
from wimtui.engine.staging.numbering import Numbering
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from wimtui.engine.image.blobs import Blobs
    from wimtui.engine.image.metadata import ImageMetadata
    from wimtui.engine.image.streams import StreamKind
    from wimtui.engine.staging.identity import WimIdentity
    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import NodeId, StagedNode, StagedStream, StreamSource
    from wimtui.engine.staging.overlay import Overlay
    from wimtui.engine.staging.snapshot import Snapshot


class Rebase:
    """A change of the image under an overlay.

    Made in a worker thread, as it walks the whole image; ``apply`` is for the thread that answers
    requests, while no other method of the overlay runs except reads and writes of open files and
    ``copy_up``.

    What the snapshot had becomes part of the image under the overlay. What changed since stays
    staged, and so do files that are open for writing. Inode numbers stay what they are.
    """

    def __init__(
        self, overlay: Overlay, snapshot: Snapshot, metadata: ImageMetadata, blobs: Blobs
    ) -> None:
        """Compare the snapshot with the image made of it.

        Args:
            overlay: Where the snapshot comes from.
            snapshot: What was committed; not released yet.
            metadata: The new image, opened from the WIM as it is.
            blobs: Its streams. The overlay opens files there from ``apply`` on; those open already
                go on reading from where they did.

        Raises:
            MetadataError: The image is not what a commit of the snapshot makes.
        """
        self._overlay = overlay
        self._snapshot = snapshot
        self._base = BaseImage(metadata, blobs, overlay.options.view)
        self._ids: dict[NodeId, NodeId] = {}
        self._match()

    def _match(self) -> None:
        """Find out what number every node of the snapshot has in the new image."""
        columns = self._base.metadata.columns
        self._ids[ROOT_INO] = ROOT_INO
        self._match_streams(ROOT_INO)
        pending: list[NodeId] = [ROOT_INO]
        while pending:
            directory = pending.pop()
            dentry = self._base.dentry(self._ids[directory])
            for name in self._snapshot.children(directory):
                found = columns.lookup(dentry, name.name)
                if found < 0:
                    if name.dentry >= 0 and self._snapshot.is_hidden(name.dentry):
                        continue
                    raise MetadataError(
                        f"the committed image has no {name.name.decode(errors='replace')}",
                        hint="discard nothing; mount the WIM elsewhere and compare",
                    )
                self._ids[name.node] = columns.ino(found)
                self._match_streams(name.node)
                if self._snapshot.has_children(name.node):
                    pending.append(name.node)

    def _match_streams(self, number: NodeId) -> None:
        new = self._base.named_stream_ids(self._ids[number])
        if new:
            for name, old in self._snapshot.named_stream_ids(number).items():
                if name in new:
                    self._ids[old] = new[name]

    def apply(self, identity: WimIdentity, image: int) -> None:
        """Replace the image; what is left of the staging is written in one transaction.

        Args:
            identity: Of the WIM as it is.
            image: 1-based index of the image.

        Raises:
            OSError: The staging disk is full or broken; nothing has changed then.
        """
        overlay = self._overlay
        layer = overlay.layer
        with layer.lock:
            orphans = self._number_orphans(layer)
            edit = Edit(self._base)
            self._keep_nodes(layer, edit)
            self._keep_names(layer, edit)
            overlay.store.replace_all(edit, identity, image)
            pairs = [(int(overlay.ino(old)), new) for old, new in self._ids.items()]
            pairs += [
                (int(overlay.ino(number)), number)
                for node in layer.unlinked
                for number in self._numbers(layer, node)
                if number not in self._ids
            ]
            unlinked = {self._ids.get(number, number) for number in layer.unlinked}
            before = {n for node in layer.nodes.values() for n in node.staged_files()}
            layer.former_blobs = self._former_blobs(layer, edit)
            layer.base = self._base
            nodes = [node for node in edit.nodes.values() if node is not None]
            layer.load(
                nodes,
                [
                    (directory, name, entry)
                    for (directory, name), entry in edit.entries.items()
                    if entry is None or isinstance(entry, Entry)
                ],
            )
            layer.unlinked = unlinked | orphans
            overlay.contents.open_streams.renumber(self._ids)
            overlay.numbering = Numbering(pairs)
            after = {n for node in nodes for n in node.staged_files()}
            overlay.contents.discard([StagedFile(number) for number in before - after])

    def _number_orphans(self, layer: Layer) -> set[NodeId]:
        """Give nodes of the old image that are open and gone, and their streams, own numbers."""
        orphans = set()
        for number in layer.unlinked:
            if number < FIRST_NEW_ID and number not in self._ids:
                self._ids[number] = self._overlay.store.new_id()
                orphans.add(self._ids[number])
                for stream in self._numbers(layer, number):
                    if stream < FIRST_NEW_ID and stream not in self._ids:
                        self._ids[stream] = self._overlay.store.new_id()
        return orphans

    def _numbers(self, layer: Layer, number: NodeId) -> set[NodeId]:
        """Return the number of a node without a name, and those of its streams."""
        if not layer.exists(number):
            return {number}
        streams = layer.node_with_streams(number).streams or ()
        return {number, *(stream.id for stream in streams if stream.id)}

    def _former_blobs(self, layer: Layer, edit: Edit) -> list[Blobs]:
        """Return where the streams are that only nodes without a name still have."""
        only_former = {
            stream.source.sha1
            for number in layer.unlinked
            if (node := edit.nodes.get(self._ids.get(number, number))) is not None
            for stream in node.streams or ()
            if isinstance(stream.source, BaseBlob) and any(stream.source.sha1)
            if self._base.blobs.size(stream.source.sha1) is None
        }
        former = (layer.base.blobs, *layer.former_blobs)
        return [blobs for blobs in former if any(blobs.size(sha1) for sha1 in only_former)]

    # What stays staged

    def _keep_nodes(self, layer: Layer, edit: Edit) -> None:
        written = self._overlay.contents.open_streams.written()
        for number, node in layer.nodes.items():
            is_committed = self._ids.get(number, number) < FIRST_NEW_ID
            committed = self._snapshot.nodes.get(number) if is_committed else None
            is_written = any(stream.id in written for stream in node.streams or ())
            if committed is node and not is_written:
                continue
            edit.put(self._carried(layer, node, committed, written), with_streams=True)
        for number in layer.unlinked:
            if number < FIRST_NEW_ID and number not in layer.nodes:
                new = self._ids[number]
                if new >= FIRST_NEW_ID:
                    node = layer.node_with_streams(number)
                    edit.put(self._renumbered(node), with_streams=True)

    def _carried(
        self, layer: Layer, node: StagedNode, committed: StagedNode | None, written: set[NodeId]
    ) -> StagedNode:
        """Return a node that stays staged as it is over the new image."""
        new = self._ids.get(node.id, node.id)
        if not self._base.has_node(new):
            return self._renumbered(layer.node_with_streams(node.id))
        if committed is not None and committed.descriptor == node.descriptor:
            node = node._replace(descriptor=None, security_id=self._base.node(new).security_id)
        if node.streams is None:
            return node._replace(id=new)
        known = {(stream.kind, stream.name): stream.source for stream in self._base.streams(new)}
        before = () if committed is None else committed.streams or ()
        streams = [
            stream._replace(
                id=self._ids.get(stream.id, stream.id),
                source=_settled(stream, before, known, written),
            )
            for stream in node.streams
        ]
        return node._replace(id=new, streams=tuple(streams))

    def _renumbered(self, node: StagedNode) -> StagedNode:
        streams = tuple(
            stream._replace(id=self._ids.get(stream.id, stream.id)) for stream in node.streams or ()
        )
        return node._replace(id=self._ids.get(node.id, node.id), streams=streams)

    def _keep_names(self, layer: Layer, edit: Edit) -> None:
        for directory in {*self._snapshot.directories, *layer.directories}:
            if directory < FIRST_NEW_ID and directory not in self._ids:
                continue
            delta = layer.directories.get(directory)
            names = set() if delta is None else set(delta.entries)
            names |= self._snapshot.directories.get(directory, {}).keys()
            is_committed = directory in self._ids
            for name in names:
                entry = layer.entry(directory, name)
                old = self._snapshot.entry(directory, name) if is_committed else None
                if entry == old:
                    continue
                change = entry
                if entry is not None:
                    change = entry._replace(node=self._ids.get(entry.node, entry.node))
                edit.entries[self._ids.get(directory, directory), name] = change


def _settled(
    stream: StagedStream,
    committed: tuple[StagedStream, ...],
    known: dict[tuple[StreamKind, bytes], StreamSource],
    written: set[NodeId],
) -> StreamSource:
    """Return the new image's blob for a stream that was committed as it is, else its source."""
    blob = known.get((stream.kind, stream.name))
    if isinstance(blob, BaseBlob) and stream in committed and stream.id not in written:
        return blob
    return stream.source
