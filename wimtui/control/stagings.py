"""Where staging folders are, remembered across reboots: the registry goes with the runtime folder.

One small file for each in ``stagings`` below the state folder, holding the path. Staging folders
that no file tells of are still found beside the WIMs that are known.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui import paths

if TYPE_CHECKING:
    from collections.abc import Iterable

DATABASE_NAME = "changes.db"
"""By this file a staging folder is known."""

_FOLDER = "stagings"
_INFIX = ".staging-"


def remember_staging(folder: str) -> None:
    """Note a staging folder. Raises OSError: better no mount than one that is lost."""
    path = _note(folder)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fresh.write_bytes(os.fsencode(folder))
    fresh.replace(path)


def forget_staging(folder: str) -> None:
    """Drop the note of a folder that was removed; harmless without one."""
    with contextlib.suppress(OSError):
        _note(folder).unlink(missing_ok=True)


def known_stagings(wims: Iterable[str] = ()) -> tuple[str, ...]:
    """Return this user's staging folders, those noted and those beside WIMs, in order of path.

    Notes of folders that are gone for good are dropped; those whose disk is merely not mounted
    have no parent folder either, and stay.
    """
    found: set[str] = set()
    for note in _notes():
        try:
            folder = os.fsdecode(note.read_bytes())
        except OSError:
            continue
        if is_staging(folder):
            found.add(folder)
        elif Path(folder).parent.is_dir():
            note.unlink(missing_ok=True)
    for wim in wims:
        path = Path(wim)
        with contextlib.suppress(OSError):
            for name in os.listdir(path.parent):  # noqa: PTH208 - names only
                folder = str(path.parent / name)
                if name.startswith(path.name + _INFIX) and is_staging(folder):
                    found.add(folder)
    return tuple(sorted(found))


def is_staging(folder: str) -> bool:
    """Whether a path is a staging folder of this user."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    return Path(folder, DATABASE_NAME).is_file()


def _note(folder: str) -> Path:
    name = hashlib.sha1(os.fsencode(folder), usedforsecurity=False).hexdigest()
    return paths.private_folder(paths.state_dir() / _FOLDER) / name


def _notes() -> list[Path]:
    try:
        folder = paths.private_folder(paths.state_dir() / _FOLDER)
        return [path for path in folder.iterdir() if not path.suffix]
    except OSError:
        return []
