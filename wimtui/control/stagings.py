"""Where staging folders are, remembered across reboots: the registry goes with the runtime folder.

One small file for each in ``stagings`` below the state folder, holding the path. Staging folders
that no file tells of are still found beside the WIMs that are known.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wimtui import paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DATABASE_NAME = "changes.db"
"""By this file a staging folder is known."""

_NOTE_NAME = "mount.json"
_FOLDER = "stagings"
_INFIX = ".staging-"


@dataclass(frozen=True, slots=True)
class StagingNote:
    """What a daemon writes into its staging folder for those who look at it without a daemon."""

    request: Mapping[str, Any] = field(default_factory=dict)
    """The mount request, for a remount."""
    image_index: int = 0
    image_name: str = ""
    created: float = 0.0
    """Seconds since 1970."""
    changes: int | None = None
    """Number of changes when the mount ended; None while it lasts, or if it was killed."""
    staged_nbytes: int | None = None
    image_sha1: str = ""
    """Of the image's metadata resource, hex: by it the image is found in a WIM that has changed."""
    wim_digest: str = ""
    """Of the state of the WIM that ``image_sha1`` belongs to."""

    @property
    def mount_point(self) -> str:
        """Where it was mounted."""
        return str(self.request.get("mount_point", ""))

    @property
    def wim_path(self) -> str:
        """Which WIM."""
        return str(self.request.get("wim_path", ""))

    def write(self, folder: str) -> None:
        """Put the note into a staging folder. Raises OSError."""
        path = Path(folder, _NOTE_NAME)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self), indent=1), encoding="ascii")
        fresh.replace(path)

    @classmethod
    def read(cls, folder: str) -> StagingNote | None:
        """Return the note in a staging folder, or None where there is none that makes sense."""
        try:
            stored = json.loads(Path(folder, _NOTE_NAME).read_bytes())
            note = cls(**stored)
        except (OSError, ValueError, TypeError):
            return None
        return note if isinstance(note.request, dict) else None


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


def looks_like_staging(folder: str) -> bool:
    """Whether a path is named like a staging folder beside a WIM, whosoever it is."""
    return _INFIX in Path(folder).name


def _note(folder: str) -> Path:
    name = hashlib.sha1(os.fsencode(folder), usedforsecurity=False).hexdigest()
    return paths.private_folder(paths.state_dir() / _FOLDER) / name


def _notes() -> list[Path]:
    try:
        folder = paths.private_folder(paths.state_dir() / _FOLDER)
        return [path for path in folder.iterdir() if not path.suffix]
    except OSError:
        return []
