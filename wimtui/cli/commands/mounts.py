"""`wimtui mounts`: every mount of this machine, and what is left of those that died."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import humanize

from wimtui.cli import output
from wimtui.cli.diagnostics import shown
from wimtui.control.users import user_name
from wimtui.service import mounts

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """List; nothing at all when there is no mount."""
    found = mounts.list_mounts()
    if arguments.json:
        output.as_json([mount.as_json() for mount in found])
        return 0
    if not found:
        return 0
    # Root sees everybody's; who sees but their own need not be told whose they are.
    tells_users = any(mount.uid != os.geteuid() for mount in found)
    rows = [
        [
            shown(mount.mount_point),
            *([user_name(mount.uid)] if tells_users else []),
            mount.status.value,
            mount.mode,
            f"{shown(Path(mount.wim_path).name)} [{mount.image_index or '?'}]",
            shown(mount.image_name),
            str(mount.pid) if mount.alive else "-",
            _detail(mount),
        ]
        for mount in found
    ]
    user = ["USER"] if tells_users else []
    output.table(["MOUNT POINT", *user, "STATUS", "MODE", "WIM", "IMAGE", "PID", ""], rows)
    return 0


def _detail(mount: mounts.MountSummary) -> str:
    if mount.status is mounts.MountStatus.DEAD and mount.staging_path:
        return f"its daemon is gone; changes are safe, wimtui remount {shown(mount.mount_point)}"
    if mount.status is mounts.MountStatus.DETACHED and not mount.alive:
        staging = shown(mount.staging_path)
        if mount.changes is None or mount.staged_nbytes is None:
            return f"uncommitted changes in {staging}"
        size = humanize.naturalsize(mount.staged_nbytes, binary=True)
        count = f"{mount.changes:,} change{'' if mount.changes == 1 else 's'}"
        return f"{count}, {size}, uncommitted in {staging}"
    return mount.detail
