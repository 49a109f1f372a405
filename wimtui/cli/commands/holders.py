"""`wimtui holders`: who keeps a mount busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import output
from wimtui.cli.diagnostics import shown
from wimtui.service import mounts
from wimtui.service.holders import holders_of

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """List one use a line; nothing at all where nobody holds anything."""
    mount = mounts.find_mount(arguments.directory)
    found = holders_of(mount.mount_point)
    if arguments.json:
        output.as_json(found)
        return 0
    rows = [
        [
            str(holder.pid),
            shown(holder.user),
            shown(holder.command),
            use.what + (" (a shell started by wimtui)" if holder.is_shell else ""),
            shown(use.path),
        ]
        for holder in found
        for use in holder.uses
    ]
    if rows:
        output.table(["PID", "USER", "COMMAND", "USE", "PATH"], rows)
    return 0
