"""Moving names, as renameat2(2)."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from wimtui.engine.errors import (
    DirectoryNotEmptyError,
    InvalidNameError,
    IsADirectoryNodeError,
    NodeExistsError,
    NodeNotFoundError,
)
from wimtui.engine.staging.node import Entry
from wimtui.engine.tree import RenameMode

if TYPE_CHECKING:
    from wimtui.engine.staging.directories import Directories
    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import NodeId


class Rename:
    """Moves names of an overlay. Every method is called under the layer's lock."""

    def __init__(self, layer: Layer, directories: Directories) -> None:
        """Change a layer."""
        self._layer = layer
        self._directories = directories

    def __call__(
        self, parent: NodeId, name: bytes, new_parent: NodeId, new_name: bytes, mode: RenameMode
    ) -> None:
        """Move a name; the entries moved lose their short names.

        Raises:
            NodeNotFoundError: There is no such name, or for EXCHANGE no such target.
            NodeExistsError: There is a target, and the mode is NO_REPLACE.
            IsADirectoryNodeError, NotADirectoryNodeError: Only like replaces like.
            DirectoryNotEmptyError: The target is a directory with something in it.
            InvalidNameError: A directory would move into itself, or the name is unsuitable.
        """
        spelling, number = self._directories.find(parent, name)
        self._layer.require_directory(parent)
        self._layer.require_directory(new_parent)
        self._directories.rules.check(new_name)
        target_spelling = self._layer.spelling(new_parent, new_name)
        if (parent, spelling) == (new_parent, target_spelling) and spelling != new_name:
            # The same name in another case.
            target_spelling = None
        entry = None
        if target_spelling is not None:
            entry = self._layer.entry(new_parent, target_spelling)
        target = None if entry is None else entry.node
        if mode is RenameMode.NO_REPLACE and target is not None:
            raise NodeExistsError(f"{_shown(new_name)} exists")
        self._check_loops(number, parent, new_parent, target, mode)
        if mode is RenameMode.EXCHANGE:
            if target is None or target_spelling is None:
                raise NodeNotFoundError(f"no {_shown(new_name)}")
            self._exchange((parent, spelling, number), (new_parent, target_spelling, target))
            return
        if target == number:
            return
        if target is not None:
            self._check_replaces(number, target, new_name)
        self._move((parent, spelling, number), new_parent, new_name, target_spelling)
        if target is not None:
            self._directories.note_unlinked(target)

    def _check_loops(
        self,
        number: NodeId,
        parent: NodeId,
        new_parent: NodeId,
        target: NodeId | None,
        mode: RenameMode,
    ) -> None:
        layer = self._layer
        if layer.type(number) == stat.S_IFDIR and layer.is_below(new_parent, number):
            raise InvalidNameError("a directory cannot move into itself")
        if target is None or target == number or layer.type(target) != stat.S_IFDIR:
            return
        if layer.is_below(parent, target):
            if mode is RenameMode.EXCHANGE:
                raise InvalidNameError("a directory cannot move into itself")
            if layer.type(number) == stat.S_IFDIR:
                raise DirectoryNotEmptyError("the target holds what is to replace it")

    def _check_replaces(self, number: NodeId, target: NodeId, new_name: bytes) -> None:
        if self._layer.type(number) == stat.S_IFDIR:
            self._directories.check_empty(target, new_name)
        elif self._layer.type(target) == stat.S_IFDIR:
            raise IsADirectoryNodeError(f"{_shown(new_name)} is a directory")

    def _move(
        self,
        source: tuple[NodeId, bytes, NodeId],
        new_parent: NodeId,
        new_name: bytes,
        replaced: bytes | None,
    ) -> None:
        parent, name, number = source
        edit = self._layer.edit()
        edit.set_entry(parent, name, None)
        if replaced is not None and replaced != new_name:
            edit.set_entry(new_parent, replaced, None)
        edit.set_entry(new_parent, new_name, Entry(number))
        self._layer.touch(edit, parent)
        self._layer.touch(edit, new_parent)
        self._layer.commit(edit)

    def _exchange(
        self, first: tuple[NodeId, bytes, NodeId], second: tuple[NodeId, bytes, NodeId]
    ) -> None:
        if first[2] == second[2]:
            return
        edit = self._layer.edit()
        edit.set_entry(first[0], first[1], Entry(second[2]))
        edit.set_entry(second[0], second[1], Entry(first[2]))
        self._layer.touch(edit, first[0])
        self._layer.touch(edit, second[0])
        self._layer.commit(edit)


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")
