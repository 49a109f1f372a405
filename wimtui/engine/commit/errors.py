"""What only writing raises."""

from __future__ import annotations

from typing import ClassVar

from wimtui.engine.errors import WimError, WriteFailedError


class ArchiveChangedError(WimError):
    """The file is not the one that was opened: replaced, or modified by someone else."""

    code: ClassVar[int] = 88


class NoSpaceError(WriteFailedError):
    """The disk has too little room for what is to be written."""


class UncertainWriteError(WriteFailedError):
    """The disk failed at the header, and again when the old one was to be put back.

    The file is the old or the new archive, and whole either way; opening it tells which.
    """
