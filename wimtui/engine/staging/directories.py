"""Making and removing names."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from wimtui.engine.errors import (
    DirectoryNotEmptyError,
    IsADirectoryNodeError,
    NodeExistsError,
    NodeNotFoundError,
    NotADirectoryNodeError,
    NotPermittedError,
)
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.reparse import RP_FLAG_NOT_FIXED, ReparseTag, symlink_blob
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.image.tagged_items import ItemTag, UnixData, set_item
from wimtui.engine.staging.names import NameRules
from wimtui.engine.staging.node import Entry, InlineData, StagedFile, StagedNode, StagedStream

if TYPE_CHECKING:
    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import NodeId
    from wimtui.engine.staging.stats import Stats
    from wimtui.engine.tree import Creator

_NEW_RP_FLAGS = RP_FLAG_NOT_FIXED


class Directories:
    """Changes the names of an overlay. Every method is called under the layer's lock."""

    def __init__(self, layer: Layer, stats: Stats) -> None:
        """Change a layer."""
        self._layer = layer
        self._stats = stats
        self.rules = NameRules(layer.options)

    # Making

    def create(self, parent: NodeId, name: bytes, creator: Creator) -> NodeId:
        """Make an empty file, or with UNIX data a fifo, socket or device."""
        self.check_free(parent, name)
        if stat.S_IFMT(creator.mode) not in (0, stat.S_IFREG) and not self._has_unix_data:
            raise NotPermittedError(
                "special files need UNIX data to be kept", hint="mount with --unix-data"
            )
        number = self._layer.store.new_id()
        data = StagedStream(
            StreamKind.DATA, b"", number, StagedFile(self._layer.store.files.new_number())
        )
        node = StagedNode(number, stat.S_IFREG, int(FileAttribute.NORMAL), streams=(data,))
        return self._add(parent, name, node, creator, creator.mode or stat.S_IFREG)

    def make_directory(self, parent: NodeId, name: bytes, creator: Creator) -> NodeId:
        """Make an empty directory."""
        self.check_free(parent, name)
        number = self._layer.store.new_id()
        node = StagedNode(number, stat.S_IFDIR, int(FileAttribute.DIRECTORY), streams=())
        mode = stat.S_IFDIR | stat.S_IMODE(creator.mode)
        return self._add(parent, name, node, creator, mode)

    def make_symlink(self, parent: NodeId, name: bytes, target: bytes, creator: Creator) -> NodeId:
        """Make a native symlink; a target inside the mount is kept relative to the image's root."""
        self.check_free(parent, name)
        inside = below_mount(target, self._layer.options.view.mount_root)
        blob = symlink_blob(target if inside is None else inside)
        number = self._layer.store.new_id()
        node = StagedNode(
            number,
            stat.S_IFLNK,
            int(FileAttribute.REPARSE_POINT),
            reparse_tag=int(ReparseTag.SYMLINK),
            rp_flags=_NEW_RP_FLAGS if inside is None else 0,
            streams=(StagedStream(StreamKind.REPARSE, b"", 0, InlineData(blob)),),
        )
        return self._add(parent, name, node, creator, stat.S_IFLNK | 0o777)

    def _add(
        self, parent: NodeId, name: bytes, node: StagedNode, creator: Creator, mode: int
    ) -> NodeId:
        now = self._layer.now()
        node = node._replace(creation_time=now, access_time=now, write_time=now)
        if self._has_unix_data:
            item = self._owned(parent, creator, mode)
            tagged = set_item(b"", ItemTag.UNIX_DATA, item.pack())
            node = node._replace(tagged_items=tagged)
        edit = self._layer.edit()
        edit.put(node, with_streams=True)
        edit.set_entry(parent, name, Entry(node.id))
        self._layer.touch(edit, parent)
        self._layer.commit(edit)
        return node.id

    def _owned(self, parent: NodeId, creator: Creator, mode: int) -> UnixData:
        """Return whose a new node is: in a set-group-ID directory the group is the directory's."""
        above = self._stats.attributes(parent)
        if not above.mode & stat.S_ISGID:
            return UnixData(creator.uid, creator.gid, mode, creator.rdev)
        if stat.S_ISDIR(mode):
            mode |= stat.S_ISGID
        return UnixData(creator.uid, above.gid, mode, creator.rdev)

    @property
    def _has_unix_data(self) -> bool:
        return self._layer.options.view.unix_data

    def link(self, number: NodeId, parent: NodeId, name: bytes) -> None:
        """Give a file another name."""
        self._layer.require(number)
        if self._layer.type(number) == stat.S_IFDIR:
            raise NotPermittedError("a directory cannot have two names")
        if self._layer.attribute_bits(number) & FileAttribute.REPARSE_POINT:
            raise NotPermittedError("a reparse point or symlink cannot have two names in a WIM")
        self.check_free(parent, name)
        if self._layer.link_count(number) == 0:
            raise NodeNotFoundError("the file was removed")
        edit = self._layer.edit()
        edit.set_entry(parent, name, Entry(number))
        self._layer.touch(edit, parent)
        self._layer.commit(edit)

    def check_free(self, parent: NodeId, name: bytes) -> None:
        """Raise unless a node of that name can be made in a directory.

        Raises:
            NodeExistsError: The name is taken.
            NodeError: The name or the directory is unsuitable.
        """
        self._layer.require_directory(parent)
        if self._layer.lookup(parent, name) is not None:
            raise NodeExistsError(f"{_shown(name)} exists")
        self.rules.check(name)

    # Removing

    def unlink(self, parent: NodeId, name: bytes) -> NodeId:
        """Remove the name of something that is no directory."""
        spelling, number = self.find(parent, name)
        # An opaque reparse point may have either: Linux sees a directory, and calls rmdir.
        if self._layer.type(number) == stat.S_IFDIR:
            raise IsADirectoryNodeError(f"{_shown(name)} is a directory")
        self._remove(parent, spelling, number)
        return number

    def remove_directory(self, parent: NodeId, name: bytes) -> NodeId:
        """Remove an empty directory."""
        spelling, number = self.find(parent, name)
        self.check_empty(number, name)
        self._remove(parent, spelling, number)
        return number

    def _remove(self, parent: NodeId, name: bytes, number: NodeId) -> None:
        edit = self._layer.edit()
        edit.set_entry(parent, name, None)
        self._layer.touch(edit, parent)
        self._layer.commit(edit)
        self.note_unlinked(number)

    def note_unlinked(self, number: NodeId) -> None:
        """Remember a node that has lost its last name until it is forgotten."""
        if self._layer.link_count(number) == 0:
            self._layer.unlinked.add(number)

    def find(self, parent: NodeId, name: bytes) -> tuple[bytes, NodeId]:
        """Return the spelling and the node of a name. Raises NodeNotFoundError."""
        self._layer.owner(parent)
        spelling = self._layer.spelling(parent, name)
        entry = None if spelling is None else self._layer.entry(parent, spelling)
        if spelling is None or entry is None:
            if self._layer.type(self._layer.owner(parent)) != stat.S_IFDIR:
                raise NotADirectoryNodeError(f"node {parent} is no directory")
            raise NodeNotFoundError(f"no {_shown(name)}")
        return spelling, entry.node

    def check_empty(self, number: NodeId, name: bytes) -> None:
        """Raise unless a node is an empty directory.

        Raises NotADirectoryNodeError, DirectoryNotEmptyError.
        """
        if self._layer.type(number) != stat.S_IFDIR:
            raise NotADirectoryNodeError(f"{_shown(name)} is no directory")
        if self._layer.has_children(number) and self._layer.names(number):
            raise DirectoryNotEmptyError(f"{_shown(name)} is not empty")


def below_mount(target: bytes, mount_root: bytes) -> bytes | None:
    """Return what follows the mount point in an absolute target, or None outside of it."""
    if not mount_root or not target.startswith(mount_root):
        return None
    rest = target[len(mount_root) :]
    return rest if not rest or rest.startswith(b"/") else None


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")
