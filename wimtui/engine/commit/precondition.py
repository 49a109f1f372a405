"""Whether a file may be written to, and is still the one that was opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.engine.commit.errors import ArchiveChangedError
from wimtui.engine.container.file_bytes import identity_now
from wimtui.engine.container.file_state import is_overwritten
from wimtui.engine.container.flags import HeaderFlag
from wimtui.engine.errors import (
    OpenFailedError,
    ReadOnlyWimError,
    WimError,
    WriteFailedError,
)

if TYPE_CHECKING:
    from wimtui.engine.container.header import Header
    from wimtui.engine.container.wim_file import WimFile

_FLAGS_OFFSET = 16
_WAY_OUT = "write the result to another file with --save-as, or open the WIM anew"


def check_writable(
    wim: WimFile,
    *,
    ignore_readonly: bool = False,
    readonly_hint: str = "write nevertheless with --ignore-readonly",
) -> None:
    """Refuse a file that cannot be modified (wim-container 13.1).

    ``readonly_hint`` is what to do about a file flagged READONLY.

    Raises:
        ArchiveChangedError: It is gone.
        ReadOnlyWimError: No permission, part of a split set, or flagged READONLY.
    """
    header = wim.header
    reason = hint = None
    if header.total_parts != 1:
        reason = f"it is part {header.part_number} of a split set of {header.total_parts}"
        hint = "join the parts with wimlib-imagex join first"
    elif header.flags & HeaderFlag.READONLY and not ignore_readonly:
        reason, hint = "its header says READONLY", readonly_hint
    elif not Path(wim.path).exists():
        raise ArchiveChangedError(
            "the WIM has changed since it was opened: it is not there any more",
            path=wim.path,
            hint="put it back, or write the result to another file with --save-as",
        )
    elif not os.access(wim.path, os.W_OK):
        reason, hint = "no permission to write it", "check its owner and mode"
    if reason is not None:
        raise ReadOnlyWimError(f"the WIM cannot be modified: {reason}", path=wim.path, hint=hint)


def check_replaceable(path: str) -> None:
    """Refuse where no file can be made beside ``path``. Raises ReadOnlyWimError."""
    if not os.access(Path(path).parent, os.W_OK | os.X_OK):
        raise ReadOnlyWimError(
            "a whole file is written beside it first, and the folder is not writable",
            path=path,
            hint="get write permission for the folder, or append instead of rebuilding",
        )


def check_absent(path: str) -> None:
    """Refuse a path that exists or cannot be made.

    Raises:
        OpenFailedError: Its folder does not exist, or no file can be made there.
        WriteFailedError: It exists.
    """
    if os.path.lexists(path):
        raise WriteFailedError(
            "the file exists", path=path, hint="choose another name, or remove it"
        )
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise OpenFailedError("its folder does not exist", path=path, hint="make the folder first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OpenFailedError("its folder is not writable", path=path, hint="choose another folder")


def check_unchanged(wim: WimFile, end: int) -> None:
    """Refuse a file that is not what was opened.

    The same inode and header, but for the mark of a write that never ended, with at least ``end``
    bytes: what an interrupted write leaves behind the end does not count.

    Raises:
        ArchiveChangedError: Names the way out.
    """
    opened = wim.identity
    try:
        now = identity_now(wim.path)
    except WimError as error:
        if is_overwritten(wim):
            raise ArchiveChangedError.overwritten(wim.path, "it is no WIM any more") from error
        raise ArchiveChangedError(
            f"the WIM cannot be opened any more: {error.message}", path=wim.path, hint=_WAY_OUT
        ) from error
    if (now.device, now.inode) != (opened.device, opened.inode):
        reason = "another file has taken its place"
    elif is_overwritten(wim):
        raise ArchiveChangedError.overwritten(wim.path, "it cannot be written to")
    elif _unmarked(now.header) != _unmarked(opened.header):
        reason = "somebody else wrote to it"
    elif now.size < end:
        reason = f"it was cut to {now.size} bytes"
    else:
        return
    raise ArchiveChangedError(
        f"the WIM has changed since it was opened: {reason}", path=wim.path, hint=_WAY_OUT
    )


def flags_bytes(header: Header, *, in_progress: bool) -> tuple[int, bytes]:
    """Return offset and bytes of the header's flags, with or without the mark of a writer."""
    flags = int(without_mark(header.flags))
    if in_progress:
        flags |= HeaderFlag.WRITE_IN_PROGRESS
    return _FLAGS_OFFSET, flags.to_bytes(4, "little")


def without_mark(flags: HeaderFlag) -> HeaderFlag:
    """Return header flags without that of a writer at work; unknown ones stay."""
    # The complement of a flag has known bits only.
    return HeaderFlag(int(flags) & ~int(HeaderFlag.WRITE_IN_PROGRESS))


def _unmarked(header: bytes) -> bytes:
    flags = HeaderFlag(int.from_bytes(header[_FLAGS_OFFSET : _FLAGS_OFFSET + 4], "little"))
    plain = int(without_mark(flags)).to_bytes(4, "little")
    return header[:_FLAGS_OFFSET] + plain + header[_FLAGS_OFFSET + 4 :]
