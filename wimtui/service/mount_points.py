"""Folders to mount on: what speaks against one, and which to offer."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from wimtui.control.mountinfo import MountTable
from wimtui.control.registry import resolved_mount_point


class PlaceState(StrEnum):
    """What a path is to somebody who wants to mount there."""

    READY = "ready"
    MISSING = "missing"
    NO_PARENT = "no parent"
    MOUNTED = "mounted"
    NOT_A_FOLDER = "not a folder"
    NOT_EMPTY = "not empty"
    NOT_READABLE = "not readable"
    NOT_WRITABLE = "not writable"
    UNSET = "unset"


@dataclass(frozen=True, slots=True)
class MountPlace:
    """The answer about one path."""

    path: str
    """Absolute."""
    state: PlaceState
    text: str
    """One sentence without a full stop."""

    @property
    def can_mount(self) -> bool:
        """Whether a mount may be tried right away."""
        return self.state is PlaceState.READY

    @property
    def can_create(self) -> bool:
        """Whether making the folder is all it takes."""
        return self.state is PlaceState.MISSING


def check_mount_point(typed: str) -> MountPlace:
    """Look at a path as somebody typed it; ``~`` is known. Touches no mounted file system."""
    if not typed.strip():
        return MountPlace("", PlaceState.UNSET, "choose an empty folder")
    path = str(Path(typed.strip()).expanduser().absolute())
    mount = MountTable.read().at(resolved_mount_point(path))
    if mount is not None:
        what = "a WIM image" if mount.is_wimtui else f"a file system of type {mount.fs_type}"
        return MountPlace(path, PlaceState.MOUNTED, f"{what} is mounted there already")
    state, text = _look(Path(path))
    return MountPlace(path, state, text)


def _look(path: Path) -> tuple[PlaceState, str]:
    try:
        with os.scandir(path) as found:
            if next(found, None) is not None:
                return PlaceState.NOT_EMPTY, "not empty; its files would be hidden"
    except FileNotFoundError:
        return _look_at_parent(path)
    except NotADirectoryError:
        return PlaceState.NOT_A_FOLDER, "no folder"
    except OSError as error:
        return PlaceState.NOT_READABLE, (error.strerror or "cannot be read").lower()
    if not os.access(path, os.W_OK):
        return PlaceState.NOT_WRITABLE, "yours to read but not to write, so not to mount on"
    return PlaceState.READY, "an empty folder"


def _look_at_parent(path: Path) -> tuple[PlaceState, str]:
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        return PlaceState.NO_PARENT, f"{parent} is no folder"
    if not os.access(parent, os.W_OK | os.X_OK):
        return PlaceState.NO_PARENT, f"missing, and you cannot make folders in {parent}"
    return PlaceState.MISSING, "missing; it is made when you mount"


def create_mount_point(path: str) -> None:
    """Make a folder with its parents. Raises OSError."""
    Path(path).mkdir(parents=True, exist_ok=True)


def suggest_mount_point(wim_path: str, image_index: int, image_count: int) -> str:
    """Return a path that is free: in /mnt where that is ours to use, else beside the WIM."""
    wim = Path(wim_path)
    stem = re.sub(r"[^\w.-]+", "-", wim.stem).strip("-.") or "wim"
    name = stem if image_count == 1 else f"{stem}-{image_index}"
    base = Path("/mnt") if os.access("/mnt", os.W_OK | os.X_OK) else wim.absolute().parent
    if not os.access(base, os.W_OK | os.X_OK):
        base = Path.home()
    for number in range(1, 100):
        path = base / (name if number == 1 else f"{name}.{number}")
        place = check_mount_point(str(path))
        if place.can_mount or place.can_create:
            return place.path
    return ""
