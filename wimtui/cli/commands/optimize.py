"""`wimtui optimize`: a rebuild, and how many bytes it gave back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import humanize

from wimtui.cli import writing
from wimtui.service.editing import optimize_wim

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Rebuild."""
    with writing.settings(arguments) as settings:
        written = optimize_wim(arguments.wim, settings)
    saved = written.old_size - written.new_size
    size = f"{abs(saved)} bytes"
    if abs(saved) >= 1024:
        size += f" ({humanize.naturalsize(abs(saved), binary=True)})"
    change = f"{size} reclaimed" if saved >= 0 else f"{size} more"
    return writing.report(arguments, written, change)
