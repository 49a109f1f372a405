"""Which WIM a staging belongs to, and whether that WIM is still what it was."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from wimtui.engine.container.flags import HEADER_NBYTES, HeaderFlag

if TYPE_CHECKING:
    from wimtui.engine.archive import Archive

_PIECE_NBYTES = 1 << 20
_FLAGS = slice(16, 20)
"""Where a header has its flags."""


class IdentityMatch(Enum):
    """What became of the WIM since it was staged against."""

    SAME = "same"
    """Its header and blob table are what they were."""
    COMMITTED = "committed"
    """It is what the commit under way was to make of it: the staging is in the WIM already."""
    CHANGED = "changed"
    """Something else has changed it; what is staged does not fit any more."""


@dataclass(frozen=True, slots=True)
class WimIdentity:
    """What tells one state of one WIM from all others."""

    path: str
    """Absolute; says where to look, and is not compared."""
    guid: str
    """32 hex digits."""
    size: int
    mtime_ns: int
    """For messages; a copied or touched file is still the same."""
    digest: str
    """SHA-1 of header and blob table, hex: any change to any image or blob changes it."""

    @classmethod
    def of(cls, archive: Archive) -> Self:
        """Describe the main file of an archive as it was opened. Raises ReadFailedError.

        The mark of a writer in the header does not count: one that was killed leaves it there, and
        the file is still what it was.
        """
        file = archive.wim.file
        header = archive.wim.header
        digest = hashlib.sha1(usedforsecurity=False)
        digest.update(plain_header(archive))
        table = header.blob_table
        end = table.offset_in_wim + table.size_in_wim
        for offset in range(table.offset_in_wim, end, _PIECE_NBYTES):
            digest.update(file.read(offset, min(_PIECE_NBYTES, end - offset), "blob table"))
        path = Path(file.path).absolute()
        return cls(
            str(path), header.guid.hex(), file.size, path.stat().st_mtime_ns, digest.hexdigest()
        )

    def is_same(self, other: WimIdentity) -> bool:
        """Whether both describe the same WIM, wherever it is.

        The size does not count, as an append that was killed leaves bytes behind the end; where
        that is, the header says, and so the digest.
        """
        return (self.guid, self.digest) == (other.guid, other.digest)

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Read what ``to_json`` made."""
        return cls(**stored)


def plain_header(archive: Archive) -> bytes:
    """Return the header's bytes without the mark of a writer. Raises ReadFailedError."""
    return _without_mark(archive.wim.file.read(0, HEADER_NBYTES, "header"))


def _without_mark(header: bytes) -> bytes:
    flags = int.from_bytes(header[_FLAGS], "little") & ~HeaderFlag.WRITE_IN_PROGRESS
    return header[: _FLAGS.start] + flags.to_bytes(4, "little") + header[_FLAGS.stop :]
