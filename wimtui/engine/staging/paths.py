"""Nodes by path: in the merged tree, and in the image under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from wimtui.engine.staging.node import NodeId
    from wimtui.engine.staging.overlay import Overlay


def find_path(overlay: Overlay, path: bytes) -> NodeId | None:
    """Return the node at a path of the merged tree, or None."""
    number: NodeId = ROOT_INO
    for name in path.split(b"/"):
        if name:
            found = overlay.layer.lookup(number, name)
            if found is None:
                return None
            number = found
    return number


def find_base_path(overlay: Overlay, path: bytes) -> NodeId | None:
    """Return the node at a path of the image, or None."""
    metadata = overlay.layer.base.metadata
    dentry = metadata.find(path)
    return None if dentry is None else metadata.columns.ino(dentry)
