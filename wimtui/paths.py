"""Where wimtui keeps things: runtime, state, config and cache folders, each 0700 and ours.

Runtime folders hold the registry of mounts, so every front end of a user must arrive at the same
one, whatever its environment; runtime_dirs() also names those that other environments arrive at.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

RUNTIME_DIR_VARIABLE = "WIMTUI_RUNTIME_DIR"
"""Environment variable that replaces all other ways to the runtime folder."""

_ROOT_RUNTIME = Path("/run/wimtui")
_RUN_USER = Path("/run/user")
_TEMPORARY = Path("/tmp")  # noqa: S108 - what is found there is checked for its owner


class UnsafeFolderError(PermissionError):
    """A folder of ours belongs to somebody else, or is a link, or others may enter it."""


def runtime_dir() -> Path:
    """The folder for the registry and for bulk files, made if it does not exist.

    WIMTUI_RUNTIME_DIR if set. Root's is /run/wimtui, which outlives sessions and does not depend on
    how root became root. Others: wimtui in XDG_RUNTIME_DIR, else in /run/user/UID, else
    /tmp/wimtui-UID; each only if it belongs to the user.

    Raises:
        UnsafeFolderError: The folder that it has to be is not safely ours.
        OSError: It cannot be made.
    """
    candidates = _runtime_candidates()
    for folder in candidates[:-1]:
        if _is_ours(folder.parent):
            return private_folder(folder)
    return private_folder(candidates[-1])


def runtime_dirs() -> tuple[Path, ...]:
    """The existing runtime folders that are this user's, in order of preference."""
    found = dict.fromkeys(folder for folder in _runtime_candidates() if _is_private(folder))
    return tuple(found)


def all_runtime_dirs() -> tuple[tuple[int, Path], ...]:
    """The existing runtime folders of all users as (uid, folder), for root.

    Only folders where /run/user and /tmp put them are found, and only if their owner is the user
    that their path names. With WIMTUI_RUNTIME_DIR set it is that folder alone.
    """
    if override := _override():
        return ((override.stat().st_uid, override),) if override.is_dir() else ()
    found: list[tuple[int, Path]] = [(os.geteuid(), folder) for folder in runtime_dirs()]
    by_session = [
        (entry.name, entry / "wimtui") for entry in _children(_RUN_USER) if entry.name.isdecimal()
    ]
    by_name = [
        (entry.name.removeprefix("wimtui-"), entry)
        for entry in _children(_TEMPORARY)
        if entry.name.removeprefix("wimtui-").isdecimal() and entry.name.startswith("wimtui-")
    ]
    found += [(int(uid), folder) for uid, folder in by_session + by_name]
    return tuple(dict.fromkeys((u, f) for u, f in found if _is_private(f, uid=u)))


def state_dir() -> Path:
    """The folder for logs and what is to be remembered across logins, made if need be."""
    return _home_folder("XDG_STATE_HOME", ".local/state")


def config_dir() -> Path:
    """The folder for settings, made if need be."""
    return _home_folder("XDG_CONFIG_HOME", ".config")


def cache_dir() -> Path:
    """The folder for what can be deleted at any time, made if need be."""
    return _home_folder("XDG_CACHE_HOME", ".cache")


def private_folder(folder: Path) -> Path:
    """Make a folder of mode 0700 with its parents, or check that the one there is ours.

    Raises:
        UnsafeFolderError: It is a link, no folder, another user's, or open to others and cannot be
            closed.
        OSError: It cannot be made.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise UnsafeFolderError(f"{folder} is no folder; remove it") from None
        if found.st_uid != os.geteuid():
            raise UnsafeFolderError(f"{folder} belongs to user {found.st_uid}; remove it") from None
        if found.st_mode & 0o077:
            folder.chmod(0o700)
    return folder


def _override() -> Path | None:
    value = os.environ.get(RUNTIME_DIR_VARIABLE, "")
    return Path(value) if value.startswith("/") else None


def _runtime_candidates() -> list[Path]:
    """In order of preference; the last needs no folder that exists already."""
    if override := _override():
        return [override]
    uid = os.geteuid()
    last = _TEMPORARY / f"wimtui-{uid}"
    if uid == 0:
        # As the folder of a folder is what has to be ours, root's /run stands for /run/wimtui.
        return [_ROOT_RUNTIME, last]
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    first = [Path(session) / "wimtui"] if session.startswith("/") else []
    return [*first, _RUN_USER / str(uid) / "wimtui", last]


def _home_folder(variable: str, below_home: str) -> Path:
    value = os.environ.get(variable, "")
    if value.startswith("/") and _may_hold_ours(Path(value)):
        return private_folder(Path(value) / "wimtui")
    return private_folder(_home() / below_home / "wimtui")


def _home() -> Path:
    """HOME, unless it is another user's (sudo may leave it); without any, the runtime folder."""
    home = os.environ.get("HOME", "")
    if home.startswith("/") and _may_hold_ours(Path(home)):
        return Path(home)
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return runtime_dir()


def _may_hold_ours(folder: Path) -> bool:
    """Whether a folder is ours, or is still to be made below one that is."""
    # Path.exists() raises where others' folders may not be looked into.
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110
        folder = folder.parent
    return _is_ours(folder)


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _is_private(folder: Path, *, uid: int | None = None) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    owner = os.geteuid() if uid is None else uid
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o022


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
