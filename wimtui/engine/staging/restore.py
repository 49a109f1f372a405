"""Undoing what is staged of one path."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wimtui.engine.errors import NodeNotFoundError, NotPermittedError
from wimtui.engine.staging.node import FIRST_NEW_ID
from wimtui.engine.staging.paths import find_base_path, find_path
from wimtui.engine.tree import ROOT_INO, Ino

if TYPE_CHECKING:
    from wimtui.engine.staging.node import Entry, NodeId, StagedNode, StreamSource
    from wimtui.engine.staging.overlay import Overlay


@dataclass(slots=True)
class Restored:
    """What the kernel must look at again."""

    inodes: set[Ino] = field(default_factory=set)
    """Nodes whose attributes or data differ from before."""
    entries: set[tuple[Ino, bytes]] = field(default_factory=set)
    """Directories and names in them that stand for something else, or for nothing, from now on."""
    unlinked: set[Ino] = field(default_factory=set)
    """Nodes that have lost their last name: to be forgotten unless the kernel refers to them."""


def restore(overlay: Overlay, path: bytes) -> Restored:
    """Make a path and all below it what the image has there.

    Something added is removed; something renamed or deleted is back under the name that it has in
    the image, whichever of both names is given; changed data, attributes and streams are those of
    the image. Files that are open for reading show the staged data until they are closed.
    Directories above the path are brought back only if they were removed: below one that was
    renamed, the path in the image is undone where that directory is.

    Raises:
        NodeNotFoundError: Neither the merged tree nor the image has that path.
        NotPermittedError: A file concerned is open for writing.
        OSError: The staging disk is full or broken; nothing has changed then.
    """
    layer = overlay.layer
    with layer.lock:
        try:
            work = _restored(overlay, path)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            overlay.store.give_up_reserve()
            work = _restored(overlay, path)
        work.finish()
        return work.restored


def _restored(overlay: Overlay, path: bytes) -> _Restore:
    """Restore all or nothing."""
    layer = overlay.layer
    unlinked = set(layer.unlinked)
    work = _Restore(overlay)
    try:
        with overlay.store.grouped():
            work.restore_path(path)
    except BaseException:
        nodes, entries = overlay.store.reload()
        layer.load(nodes.values(), entries)
        layer.unlinked = unlinked
        raise
    return work


class _Restore:
    """One restoring. The caller holds the lock; each step is written as it is made."""

    def __init__(self, overlay: Overlay) -> None:
        self.restored = Restored()
        self._overlay = overlay
        self._layer = overlay.layer
        self._base = overlay.layer.base
        self._written = overlay.contents.open_streams.written()
        self._discarded: list[StreamSource] = []
        self._closed: set[NodeId] = set()

    def finish(self) -> None:
        """Give up the staged files that nothing has any more, once the steps are true."""
        for stream in self._closed:
            self._overlay.contents.open_streams.detach(stream)
        self._overlay.contents.discard(self._discarded)
        with contextlib.suppress(OSError):
            self._overlay.store.collect()

    def restore_path(self, path: bytes) -> None:
        """Undo both what the path names in the merged tree and what it names in the image."""
        number = find_path(self._overlay, path)
        old = find_base_path(self._overlay, path)
        if number is None and old is None:
            raise NodeNotFoundError(f"no {path.decode(errors='replace')}")
        if number == ROOT_INO:
            self._reset_everything()
            return
        if number is not None:
            directory, name = self._place(path)
            self._reset_name(directory, name)
        if old is not None and old != ROOT_INO:
            # The directory may be elsewhere by now, or gone, or another may be in its place.
            for dentry in self._base.dentries(old):
                if self._base.metadata.path(dentry) == path:
                    self._reset_name(*self._base.place(dentry))

    def _reset_everything(self) -> None:
        for directory, delta in list(self._layer.directories.items()):
            for name in list(delta.entries):
                known = self._base.entry(directory, name) if directory < FIRST_NEW_ID else None
                self._set_entry(directory, name, known)
        for number in list(self._layer.nodes):
            self._drop(number)

    def _place(self, path: bytes) -> tuple[NodeId, bytes]:
        above, _, name = path.rstrip(b"/").rpartition(b"/")
        directory = find_path(self._overlay, above)
        if directory is None:
            raise NodeNotFoundError(f"no {above.decode(errors='replace')}")
        return directory, self._layer.spelling(directory, name) or name

    def _reset_name(self, directory: NodeId, name: bytes) -> None:
        """Let a name stand for what it stands for in the image, and that be unchanged."""
        current = self._layer.entry(directory, name)
        known = self._base.entry(directory, name) if directory < FIRST_NEW_ID else None
        if known is not None:
            removed = directory != ROOT_INO and not self._layer.link_count(directory)
            if removed or self._layer.is_below(directory, known.node):
                self._put_back(directory)
                current = self._layer.entry(directory, name)
        if current != known:
            self._set_entry(directory, name, known)
        if known is not None:
            self._reset_base_node(known.node)
        if current is not None and (known is None or current.node != known.node):
            self._displace(current.node)

    def _reset_base_node(self, number: NodeId) -> None:
        """Undo renames and changes of a node that has (one of) its names again."""
        surplus = self._layer.link_change(number)
        if surplus > 0:
            # It was renamed: without the other name it has as many as before.
            for directory, name in list(self._layer.places(number)):
                known = self._base.entry(directory, name) if directory < FIRST_NEW_ID else None
                if surplus > 0 and (known is None or known.node != number):
                    surplus -= 1
                    self._reset_name(directory, name)
        self._layer.unlinked.discard(number)
        self._reset_node(number)
        self._reset_names(number)

    def _displace(self, number: NodeId) -> None:
        """Find a place for a node that has lost its last name: in the image, or nowhere."""
        if self._layer.link_count(number):
            return
        if number < FIRST_NEW_ID:
            self._reset_name(*self._base.place(self._base.dentry(number)))
            return
        for name, _ in list(self._layer.names(number)):
            self._reset_name(number, name)
        self._drop(number)

    def _put_back(self, directory: NodeId) -> None:
        """Bring a directory of the image, and those above it, to where the image has them.

        From the top down, so that nothing is ever put below itself.
        """
        climbed = []
        above = directory
        while above != ROOT_INO:
            place = self._base.place(self._base.dentry(above))
            climbed.append((above, place))
            above = place[0]
        for number, (parent, name) in reversed(climbed):
            current = self._layer.entry(parent, name)
            if current is not None and current.node == number:
                continue
            for other in list(self._layer.places(number)):
                self._set_entry(*other, None)
            self._set_entry(parent, name, self._base.entry(parent, name))
            self._layer.unlinked.discard(number)
            if current is not None:
                self._displace(current.node)

    def _reset_names(self, directory: NodeId) -> None:
        """Undo what is staged below a directory."""
        if not self._layer.has_children(directory):
            return
        for number in list(self._layer.directories):
            delta = self._layer.directories.get(number)
            if delta is not None and self._is_below(number, directory):
                for name in list(delta.entries):
                    self._reset_name(number, name)
        for number in list(self._layer.nodes):
            if self._base.has_node(number) and number not in (ROOT_INO, directory):
                places = [self._base.place(dentry) for dentry in self._base.dentries(number)]
                if any(self._is_below(above, directory) for above, _ in places):
                    self._reset_node(number)

    def _is_below(self, number: NodeId, directory: NodeId) -> bool:
        return bool(self._layer.link_count(number)) and self._layer.is_below(number, directory)

    def _reset_node(self, number: NodeId) -> None:
        if number in self._layer.nodes and number < FIRST_NEW_ID:
            self._drop(number)

    def _drop(self, number: NodeId) -> None:
        """Forget what is staged of a node; a new one is gone, unless somebody has it open."""
        node = self._layer.nodes.get(number)
        if node is None:
            return
        self._refuse_written(node)
        self.restored.inodes.add(self._overlay.ino(number))
        if number >= FIRST_NEW_ID:
            self._layer.unlinked.add(number)
            self.restored.unlinked.add(self._overlay.ino(number))
            return
        self._closed.update(stream.id for stream in node.streams or ())
        self._discarded += [stream.source for stream in node.streams or ()]
        edit = self._layer.edit()
        edit.drop(number)
        self._layer.commit(edit)

    def _refuse_written(self, node: StagedNode) -> None:
        if any(stream.id in self._written for stream in node.streams or ()):
            raise NotPermittedError(
                "a file to be restored is open for writing", hint="close it and try again"
            )

    def _set_entry(self, directory: NodeId, name: bytes, entry: Entry | None) -> None:
        edit = self._layer.edit()
        edit.set_entry(directory, name, entry)
        self._layer.commit(edit)
        self.restored.entries.add((self._overlay.ino(directory), name))
        self.restored.inodes.add(self._overlay.ino(directory))
