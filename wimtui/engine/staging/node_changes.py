"""Owners, modes and times set by setattr(2)."""

from __future__ import annotations

import logging
import stat
from typing import TYPE_CHECKING

from wimtui.engine.errors import NotSupportedNodeError
from wimtui.engine.image.tagged_items import ItemTag, UnixData, set_item, unix_data
from wimtui.engine.timestamps import ns_to_ticks

if TYPE_CHECKING:
    from wimtui.engine.staging.contents import Contents
    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import NodeId, StagedNode
    from wimtui.engine.staging.stats import Stats
    from wimtui.engine.tree import AttributeChanges

_log = logging.getLogger(__name__)


class NodeChanges:
    """Changes the attributes of an overlay's nodes."""

    def __init__(self, layer: Layer, contents: Contents, stats: Stats) -> None:
        """Change a layer."""
        self._layer = layer
        self._contents = contents
        self._stats = stats
        self._told = False

    def change(self, number: NodeId, changes: AttributeChanges) -> None:
        """Set what is asked for; a size may have data copied up, which blocks.

        Raises:
            NotSupportedNodeError: Owners and modes are not kept here, and silence is off.
            NodeError: As ``Contents.truncate``.
            OSError: The staging disk is full or broken.
        """
        owner = self._layer.owner(number)
        if changes.size is not None:
            self._contents.truncate(number, changes.size)
        owned = not (changes.mode is None and changes.uid is None and changes.gid is None)
        if owned and not self._layer.options.view.unix_data:
            self._ignore()
            owned = False
        if not owned and changes.atime_ns is None and changes.mtime_ns is None:
            return
        with self._layer.lock:
            node = self._layer.node(owner)
            if owned:
                node = self._with_owner(node, changes)
            if changes.atime_ns is not None or changes.mtime_ns is not None:
                node = self._with_times(node, changes)
            edit = self._layer.edit()
            edit.put(node)
            self._layer.commit(edit)

    def _ignore(self) -> None:
        if not self._layer.options.silent:
            raise NotSupportedNodeError(
                "owners and modes are not kept in this mount",
                hint="mount with --unix-data, or without -o nosilent",
            )
        if not self._told:
            self._told = True
            _log.warning(
                "owners and modes that programs set are ignored in this mount;"
                " --unix-data would keep them"
            )

    def _with_owner(self, node: StagedNode, changes: AttributeChanges) -> StagedNode:
        item = unix_data(node.tagged_items)
        if item is None:
            known = self._stats.attributes(node.id)
            item = UnixData(known.uid, known.gid, known.mode, known.rdev)
        mode = item.mode
        if changes.mode is not None:
            mode = stat.S_IFMT(mode) | stat.S_IMODE(changes.mode)
        changed = UnixData(
            item.uid if changes.uid is None else changes.uid,
            item.gid if changes.gid is None else changes.gid,
            mode,
            item.rdev,
        )
        tagged = set_item(node.tagged_items, ItemTag.UNIX_DATA, changed.pack())
        return node._replace(tagged_items=tagged)

    def _with_times(self, node: StagedNode, changes: AttributeChanges) -> StagedNode:
        write_time = self._contents.write_time(node)
        if changes.mtime_ns is not None:
            write_time = ns_to_ticks(changes.mtime_ns)
        access_time = node.access_time
        if changes.atime_ns is not None:
            access_time = ns_to_ticks(changes.atime_ns)
        stamped = self._contents.stamp(node, write_time)
        return stamped._replace(access_time=access_time, times_set=True)
