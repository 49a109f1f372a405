"""Whether the disk has room for what is to be written."""

from __future__ import annotations

from os import statvfs
from pathlib import Path

from wimtui.engine.commit.errors import NoSpaceError

_TABLES_NBYTES = 1 << 16
"""For header, XML growth and rounding to blocks."""


def free_nbytes(path: str) -> int:
    """Return the room on the disk that holds, or will hold, ``path``. Raises OSError."""
    status = statvfs(Path(path).parent)
    return status.f_bavail * status.f_frsize


def with_tables(nbytes: int) -> int:
    """Return the room to ask for to write so many bytes of data and tables."""
    return nbytes + _TABLES_NBYTES


def check_space(path: str, needed_nbytes: int) -> None:
    """Refuse where the disk that holds ``path`` has less room.

    ``needed_nbytes`` supposes that nothing compresses, so that what passes does not fail later.

    Raises:
        NoSpaceError: Says how much is needed and how much there is.
    """
    free = free_nbytes(path)
    needed = with_tables(needed_nbytes)
    if needed > free:
        raise NoSpaceError(
            f"up to {needed} bytes are needed and {free} are free, {needed - free} too few",
            path=path,
            hint="nothing was written; make room on its disk and try again, or begin "
            "all the same with --no-space-check",
        )
