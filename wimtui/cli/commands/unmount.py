"""`wimtui unmount`: returns when the mount point is free and the daemon is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import diagnostics, output
from wimtui.service import mounts

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Unmount; a busy mount is refused with the names of those who hold it."""
    if arguments.commit and mounts.find_mount(arguments.directory).mode == "ro":
        diagnostics.say(f"{arguments.directory}: read-only, so --commit has no effect")
    ended = mounts.unmount_at(arguments.directory, lazy=arguments.force)
    if arguments.json:
        output.as_json({"mount_point": ended.mount_point, "wim_path": ended.wim_path})
    return 0
