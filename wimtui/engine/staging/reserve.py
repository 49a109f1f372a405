"""Room kept on the staging disk, so that something can still be deleted when it is full."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

RESERVE_NBYTES: Final = 512 << 10
"""Some hundred deletions in the database's log, by which time their room is free again."""

_NAME: Final = "reserve.bin"


class Reserve:
    """A file of a staging folder that holds nothing."""

    def __init__(self, folder: Path) -> None:
        """Take room where there is any."""
        self._path = folder / _NAME
        self._is_held = False
        self.take()

    def take(self) -> None:
        """Take the room (again); none where the disk is full or cannot promise any."""
        if self._is_held:
            return
        with contextlib.suppress(OSError):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_NBYTES)
                self._is_held = True
            except OSError:
                os.ftruncate(descriptor, 0)
                raise
            finally:
                os.close(descriptor)

    def release(self) -> None:
        """Give the room up."""
        if self._is_held:
            self._is_held = False
            with contextlib.suppress(OSError):
                os.truncate(self._path, 0)
