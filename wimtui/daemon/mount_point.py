"""Whether a folder can take a mount."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wimtui.control.mountinfo import MountTable
from wimtui.engine.errors import WimError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class MountPointError(WimError):
    """The mount point cannot be used."""

    code = 107


def check_mount_point(path: Path, *, may_hide_files: bool, own: Iterable[Path]) -> None:
    """Refuse what would hide something or cannot work.

    Args:
        path: The mount point.
        may_hide_files: Whether it need not be empty.
        own: What the daemon itself works with, and would have to ask itself for.

    Raises:
        MountPointError: Missing, no directory, not empty, or a mount point already.
    """
    for inside in own:
        if inside.resolve().is_relative_to(path):
            raise MountPointError(
                f"the mount would cover {inside}, which wimtui needs",
                path=path,
                hint="choose another folder",
            )
    if not may_hide_files:
        _check_free(path)


def _check_free(path: Path) -> None:
    mount = MountTable.read().at(str(path))
    if mount is not None:
        raise MountPointError(
            f"a file system of type {mount.fs_type} is mounted there already",
            path=path,
            hint="unmount it first, or choose another folder",
        )
    try:
        names = os.scandir(path)
    except FileNotFoundError:
        raise MountPointError(
            "the mount point does not exist", path=path, hint=f"mkdir {path}"
        ) from None
    except NotADirectoryError:
        raise MountPointError("the mount point is not a directory", path=path) from None
    with names:
        if any(True for _ in names):
            raise MountPointError(
                "the mount point is not empty; its files would be hidden",
                path=path,
                hint="choose an empty folder, or allow it with -o nonempty",
            )
