"""`wimtui cleanup`: dead mounts go; staging folders go only where they are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import diagnostics, output
from wimtui.service import mounts

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Clean up; says what went, and what stays because changes are staged in it."""
    done = mounts.clean_up(arguments.stagings)
    if arguments.json:
        output.as_json(done)
        return 0
    for point in done.unmounted:
        output.line(f"unmounted {diagnostics.shown(point)}")
    for folder in done.removed:
        output.line(f"removed {diagnostics.shown(folder)}")
    for path, nbytes in done.trimmed:
        output.line(f"{diagnostics.shown(path)}: cut {nbytes} bytes of a write that was killed")
    for folder in done.left:
        diagnostics.say(f"{folder}: uncommitted changes stay; name the folder to drop them")
    return 0
