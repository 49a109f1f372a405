"""Whether a folder can take a mount."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wimtui.control.mountinfo import MountTable
from wimtui.engine.errors import WimError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class MountPointError(WimError):
    """The mount point cannot be used."""

    code = 107


@contextmanager
def reserved(path: Path, *, may_hide_files: bool, own: Iterable[Path]) -> Iterator[None]:
    """Check a mount point and keep it, until a mount stands, from whoever mounts there as well.

    The lock is on the folder below the mount, which nobody can open any more once there is one.

    Args:
        path: The mount point.
        may_hide_files: Whether it need not be empty.
        own: What the daemon itself works with, and would have to ask itself for.

    Raises:
        MountPointError: It cannot be used, or another mount is being made there.
    """
    _check(path, may_hide_files=may_hide_files, own=own)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        # One that may not be read may still be mounted on; a dead mount may be covered.
        yield
        return
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MountPointError(
                "another mount is being made there",
                path=path,
                hint="wimtui mounts shows what it is",
            ) from None
        if not may_hide_files:
            _check_free(path)
        yield
    finally:
        os.close(folder)


def _check(path: Path, *, may_hide_files: bool, own: Iterable[Path]) -> None:
    """Refuse what would hide something or cannot work."""
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
    except OSError as error:
        raise MountPointError(
            f"the mount point cannot be used: {error.strerror}",
            path=path,
            hint="choose a folder of your own",
        ) from error
    with names:
        if any(True for _ in names):
            raise MountPointError(
                "the mount point is not empty; its files would be hidden",
                path=path,
                hint="choose an empty folder, or allow it with -o nonempty",
            )
