"""Files of an image that is not mounted, copied out to be looked at in a pager or an editor."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from wimtui.engine.errors import LimitError
from wimtui.engine.tree import Ino
from wimtui.service.shell import temporary_copy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.service.browse import ImageSession

MAX_COPY_NBYTES: Final = 256 << 20
_READ_NBYTES: Final = 1 << 20


def copy_to_look_at(session: ImageSession, dentry: int) -> str:
    """Write a file to a private temporary folder, to be read only; return its path.

    Raises:
        LimitError: It is too large for that.
        WimError: Its data cannot be read.
        OSError: The copy cannot be written.
    """
    entry = session.entry(dentry)
    if entry.size > MAX_COPY_NBYTES:
        raise LimitError(
            f"{entry.size:,} bytes are too many for a temporary copy",
            path=entry.name,
            hint="extract it, or mount the image and open it there",
        )
    return temporary_copy(entry.name, _pieces(session, dentry))


def path_in_mount(mount_point: str, path: str) -> str:
    """Return where a file of an image is in a mount of it, empty if there is no such file."""
    found = mount_point.rstrip("/") + path
    return found if os.path.isfile(found) else ""  # noqa: PTH113 - any bytes


def _pieces(session: ImageSession, dentry: int) -> Iterator[bytes]:
    ino = Ino(session.metadata.columns.ino(dentry))
    size = session.view.attributes(ino).size
    file = session.view.open_file(ino)
    try:
        for offset in range(0, size, _READ_NBYTES):
            yield bytes(file.read(offset, min(_READ_NBYTES, size - offset)))
    finally:
        file.close()
