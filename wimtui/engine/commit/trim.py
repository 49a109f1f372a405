"""Taking away what a write that was killed left in a file: its bytes, and its mark."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.commit.append import old_end
from wimtui.engine.commit.disk import Disk, reported
from wimtui.engine.commit.lock import WimLock
from wimtui.engine.commit.precondition import check_unchanged, check_writable, flags_bytes

if TYPE_CHECKING:
    from wimtui.engine.container.wim_file import WimFile


def left_behind(wim: WimFile) -> int:
    """Return the number of bytes after all that the header and the tables name."""
    return wim.file.size - old_end(wim)


def trim(path: str, disk: Disk | None = None) -> int:
    """Cut a file where its archive ends and unmark it; return the number of bytes cut.

    Nothing that the archive names is touched, so a kill at any moment costs nothing.

    Raises:
        LockedError: Somebody writes it at this moment.
        ReadOnlyWimError: It cannot be modified.
        ArchiveChangedError: Somebody wrote it meanwhile.
        WriteFailedError: The system reports an error.
        WimError: It is no WIM.
    """
    disk = disk or Disk()
    path = os.path.realpath(path)
    with WimLock.take(path), Archive.open(path, ArchiveOptions()) as archive:
        wim = archive.wim
        check_writable(wim)
        end = old_end(wim)
        check_unchanged(wim, end)
        with reported(path, "open for writing"):
            descriptor = disk.open(path, os.O_RDWR)
        try:
            offset, flags = flags_bytes(wim.header, in_progress=False)
            with reported(path, "write"):
                disk.ftruncate(descriptor, end)
                disk.pwrite(descriptor, flags, offset)
                disk.fsync(descriptor)
        finally:
            os.close(descriptor)
        return wim.file.size - end
