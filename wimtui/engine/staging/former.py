"""The WIM as it was before a commit, for as long as the staging may have to go with it again.

What is written to a mount while it commits is staged, and no part of what is committed. Should the
daemon be killed when the WIM is written and the staging does not lie over it yet, that staging only
fits the WIM as it was. An append leaves all of that below the old end, so its header brings it
back; of a rebuild the old file is kept under a second name.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from wimtui.engine.staging.staged_files import sync_folder

_NAME: Final = "before.wim"


@dataclass(frozen=True, slots=True)
class FormerWim:
    """What brings a WIM back to what it was."""

    header: bytes | None
    """Of the same file, before an append; None before a rebuild."""

    def to_json(self) -> str:
        """Return what ``from_json`` takes."""
        return "" if self.header is None else self.header.hex()

    @classmethod
    def from_json(cls, stored: str) -> Self:
        """Read what ``to_json`` made. Raises ValueError."""
        return cls(bytes.fromhex(stored) if stored else None)

    def keep(self, wim: str, folder: Path) -> bool:
        """Keep what is needed in a staging folder; return whether there is a way back.

        There is none where a rebuild is on another file system than the folder, or on one without
        hard links.
        """
        if self.header is not None:
            return True
        forget_former(folder)
        try:
            os.link(os.path.realpath(wim), folder / _NAME)
        except OSError:
            return False
        sync_folder(os.fspath(folder))
        return True

    def bring_back(self, wim: str, folder: Path) -> None:
        """Make the WIM what it was, durably. Raises OSError; the WIM is one of both in any case."""
        if self.header is None:
            target = Path(wim).resolve()
            (folder / _NAME).replace(target)
            sync_folder(os.fspath(target.parent))
            return
        descriptor = os.open(wim, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, self.header, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def forget_former(folder: Path) -> None:
    """Give up the second name of a file that is not needed any more."""
    with contextlib.suppress(FileNotFoundError):
        (folder / _NAME).unlink()
