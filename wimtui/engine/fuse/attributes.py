"""NodeAttributes as the structure that pyfuse3 sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyfuse3 import EntryAttributes

if TYPE_CHECKING:
    from wimtui.engine.tree import NodeAttributes

FOREVER_SECONDS = 1e9
"""How long the kernel may keep what never changes: over thirty years."""


def entry_attributes(node: NodeAttributes, timeout_seconds: float) -> EntryAttributes:
    """Return the attributes in pyfuse3's form, valid for so long.

    430 ns, of which the assignments are nearly all. pyfuse3 copies the structure when it replies,
    so one object may answer many requests as long as nobody changes it.
    """
    entry = EntryAttributes()
    (
        entry.st_ino,
        entry.st_mode,
        entry.st_nlink,
        entry.st_uid,
        entry.st_gid,
        entry.st_rdev,
        entry.st_size,
        entry.st_blocks,
        entry.st_atime_ns,
        entry.st_mtime_ns,
        entry.st_ctime_ns,
    ) = node
    entry.entry_timeout = timeout_seconds
    entry.attr_timeout = timeout_seconds
    return entry


def negative_entry(timeout_seconds: float) -> EntryAttributes:
    """Return the answer "no such name" in the form that the kernel caches.

    Raising ENOENT is never cached: 5,000 lookups of two missing names are 5,000 requests, with
    this 2.
    """
    entry = EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = timeout_seconds
    return entry
