"""Whether the disk has room for what is to be written."""

from __future__ import annotations

from os import statvfs
from pathlib import Path

from wimtui.engine.commit.errors import NoSpaceError

_TABLES_NBYTES = 1 << 16
"""For header, XML growth and rounding to blocks."""


def check_space(path: str, needed_nbytes: int) -> None:
    """Refuse where the disk that holds ``path`` has less room.

    ``needed_nbytes`` supposes that nothing compresses, so that what passes does not fail later.

    Raises:
        NoSpaceError: Says how much is needed and how much there is.
    """
    status = statvfs(Path(path).parent)
    free = status.f_bavail * status.f_frsize
    needed = needed_nbytes + _TABLES_NBYTES
    if needed > free:
        raise NoSpaceError(
            f"up to {needed} bytes are needed and {free} are free, {needed - free} too few",
            path=path,
            hint="nothing was written; make room on its disk and try again",
        )
