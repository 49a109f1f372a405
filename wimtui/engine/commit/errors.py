"""What only writing raises."""

from __future__ import annotations

from typing import ClassVar, Self

from wimtui.engine.errors import WimError, WriteFailedError


class ArchiveChangedError(WimError):
    """The file is not the one that was opened: replaced, or modified by someone else."""

    code: ClassVar[int] = 88

    @classmethod
    def overwritten(cls, path: str, problem: str) -> Self:
        """Return the error for a file whose very bytes are others while it is open."""
        return cls(
            f"the WIM was overwritten in place while it was open: {problem}",
            path=path,
            hint="copy its old bytes back into it (cp, not mv) and try again, or save what is "
            "staged with wimtui export",
        )


class NoSpaceError(WriteFailedError):
    """The disk has too little room for what is to be written."""


class UncertainWriteError(WriteFailedError):
    """The disk failed at the header, and again when the old one was to be put back.

    The file is the old or the new archive, and whole either way; opening it tells which.
    """
