"""What became of a WIM file since it was opened: of its name, and of the bytes behind it."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING

from wimtui.engine.container.flags import HEADER_NBYTES, HeaderFlag
from wimtui.engine.errors import WimError

if TYPE_CHECKING:
    from wimtui.engine.container.wim_file import WimFile

_FLAGS = slice(16, 20)
_IDENTITY = (slice(0, 8), slice(24, 40))
"""Where a header has its magic and its GUID."""


class FileState(StrEnum):
    """How a file that is open stands to the one that was opened."""

    SAME = ""
    """What was opened is there: as it was, or with more behind its end."""
    REPLACED = "replaced"
    """Another file has its name; what was opened can be read still."""
    GONE = "gone"
    """Nothing has its name; what was opened can be read still."""
    OVERWRITTEN = "overwritten"
    """The very bytes are others, or fewer: what was opened cannot be read any more."""


class FileWatch:
    """Tells the state of one open file; cheap as long as nobody writes to it."""

    __slots__ = ("_is_overwritten", "_seen", "_wim")

    def __init__(self, wim: WimFile) -> None:
        """Watch a file that stays open meanwhile."""
        self._wim = wim
        self._seen: tuple[int, int] | None = None
        """Size and time of the last write when the bytes were compared."""
        self._is_overwritten = False

    def state(self) -> FileState:
        """Return how the file stands. Blocks as long as its file system does."""
        if self._is_touched():
            self._is_overwritten = is_overwritten(self._wim)
        if self._is_overwritten:
            return FileState.OVERWRITTEN
        file = self._wim.file
        try:
            now = os.stat(file.path)  # noqa: PTH116  # a str
        except FileNotFoundError:
            return FileState.GONE
        except OSError:
            return FileState.SAME
        is_other = (now.st_dev, now.st_ino) != (file.device, file.inode)
        return FileState.REPLACED if is_other else FileState.SAME

    def _is_touched(self) -> bool:
        """Whether anybody has written to the file since the last time."""
        try:
            status = os.fstat(self._wim.file.fileno())
        except OSError:
            return False
        seen = (status.st_size, status.st_mtime_ns)
        is_touched = seen != self._seen
        self._seen = seen
        return is_touched


def is_overwritten(wim: WimFile) -> bool:
    """Return whether the bytes that a file was opened with are gone.

    A write that appends, ours or another program's, leaves the old blob table where it is and all
    that it names, so that whoever has the file open goes on (wim-container 13.5).
    """
    try:
        if os.fstat(wim.file.fileno()).st_size < wim.header.blob_table.end_in_wim:
            return True
        header = _read(wim, 0, HEADER_NBYTES)
        if _unmarked(header) == _unmarked(wim.identity.header):
            return False
        return (
            any(header[part] != wim.identity.header[part] for part in _IDENTITY)
            or wim.stored_blob_table() != wim.blob_table.index.rows
        )
    except (WimError, OSError):
        return True


def _read(wim: WimFile, offset: int, nbytes: int) -> bytes:
    data = os.pread(wim.file.fileno(), nbytes, offset)
    if len(data) < nbytes:
        raise OSError
    return data


def _unmarked(header: bytes) -> bytes:
    """Return a header without the mark of a writer."""
    flags = int.from_bytes(header[_FLAGS], "little") & ~HeaderFlag.WRITE_IN_PROGRESS
    return header[: _FLAGS.start] + flags.to_bytes(4, "little") + header[_FLAGS.stop :]
