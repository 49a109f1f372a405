"""What one operation changes: put into the database first, into memory after that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from wimtui.engine.staging.node import FIRST_NEW_ID, Entry

if TYPE_CHECKING:
    from wimtui.engine.staging.base import BaseImage
    from wimtui.engine.staging.node import NodeId, StagedNode


class _AsBase:
    """Type of ``AS_BASE``."""

    __slots__ = ()


AS_BASE: Final = _AsBase()
"""Instead of an entry: the name stands for what it stands for in the base image."""

EntryChange: TypeAlias = Entry | _AsBase | None
"""An entry, None to hide the base image's, or AS_BASE."""


class Edit:
    """Nodes and names to be written together.

    Attributes:
        nodes: By number; None forgets what was staged of a node.
        streams: Nodes whose streams are to be written too.
        entries: By directory and name.
    """

    __slots__ = ("_base", "entries", "nodes", "streams")

    def __init__(self, base: BaseImage) -> None:
        """Begin empty."""
        self._base = base
        self.nodes: dict[NodeId, StagedNode | None] = {}
        self.streams: set[NodeId] = set()
        self.entries: dict[tuple[NodeId, bytes], EntryChange] = {}

    def put(self, node: StagedNode, *, with_streams: bool = False) -> None:
        """Write a node; with its streams where those changed."""
        self.nodes[node.id] = node
        if with_streams:
            self.streams.add(node.id)

    def drop(self, node: NodeId) -> None:
        """Forget a node."""
        self.nodes[node] = None
        self.streams.discard(node)

    @property
    def only_removes(self) -> bool:
        """Whether names and nodes go, and none come: what a full disk needs most."""
        names_nothing = not any(isinstance(entry, Entry) for entry in self.entries.values())
        return names_nothing and (bool(self.entries) or None in self.nodes.values())

    def set_entry(self, directory: NodeId, name: bytes, entry: Entry | None) -> None:
        """Let a name stand for something, or None for nothing."""
        known = self._base.entry(directory, name) if directory < FIRST_NEW_ID else None
        self.entries[directory, name] = AS_BASE if entry == known else entry
