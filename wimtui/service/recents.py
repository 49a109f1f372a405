"""The WIMs that were opened lately, remembered across sessions."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wimtui import paths

if TYPE_CHECKING:
    from pathlib import Path

MAX_RECENT = 20
_FILE_NAME = "recent.json"


@dataclass(frozen=True, slots=True)
class RecentWim:
    """A WIM and when it was opened last."""

    path: str
    opened: float
    """Seconds since 1970."""


def recent_wims() -> tuple[RecentWim, ...]:
    """Return what is remembered, latest first; nothing where the file is missing or damaged."""
    try:
        stored = json.loads(_file().read_bytes())
        found = [RecentWim(str(one["path"]), float(one["opened"])) for one in stored]
    except (OSError, ValueError, TypeError, KeyError):
        return ()
    return tuple(found[:MAX_RECENT])


def remember_wim(path: str, *, now: float | None = None) -> tuple[RecentWim, ...]:
    """Put a WIM first. A list that cannot be written is lost, and nothing else."""
    first = RecentWim(os.path.realpath(path), time.time() if now is None else now)
    others = (one for one in recent_wims() if one.path != first.path)
    return _store((first, *others)[:MAX_RECENT])


def forget_wim(path: str) -> tuple[RecentWim, ...]:
    """Take a WIM off the list."""
    return _store(tuple(one for one in recent_wims() if one.path != path))


def _store(wims: tuple[RecentWim, ...]) -> tuple[RecentWim, ...]:
    with contextlib.suppress(OSError):
        target = _file()
        fresh = target.with_name(f"{_FILE_NAME}.{os.getpid()}.new")
        fresh.write_text(json.dumps([asdict(wim) for wim in wims], indent=1), encoding="ascii")
        fresh.replace(target)
    return wims


def _file() -> Path:
    return paths.state_dir() / _FILE_NAME
