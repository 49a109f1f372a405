"""Changes as plain values, for front ends in other processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wimtui.engine.staging.changes import Change


def change_report(change: Change) -> dict[str, Any]:
    """Return a change as JSON values; paths that are no UTF-8 with surrogate escapes."""
    return {
        "kind": change.kind.value,
        "path": os.fsdecode(change.path),
        "old_path": None if change.old_path is None else os.fsdecode(change.old_path),
        "what": sorted(part.value for part in change.what),
        "size_before": change.size_before,
        "size_after": change.size_after,
        "is_directory": change.is_directory,
    }
