"""A file's streams, and how a dentry encodes them in main hash and extra entries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.blobs import ZERO_SHA1

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class StreamKind(StrEnum):
    """What a stream holds."""

    DATA = "data"
    NAMED = "named"
    REPARSE = "reparse"
    EFS = "efs"


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of a file; only named ones have a name (WTF-8)."""

    kind: StreamKind
    sha1: bytes
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class FileStreams:
    """Hashes of all streams; None where the file has no such stream, zero for an empty one."""

    data: bytes | None = None
    reparse: bytes | None = None
    efs: bytes | None = None
    named: tuple[tuple[bytes, bytes], ...] = ()
    """(name, hash) in stored order."""

    def __iter__(self) -> Iterator[Stream]:
        """Iterate over the streams there are: unnamed ones first."""
        for kind, sha1 in (
            (StreamKind.EFS, self.efs),
            (StreamKind.REPARSE, self.reparse),
            (StreamKind.DATA, self.data),
        ):
            if sha1 is not None:
                yield Stream(kind, sha1)
        for name, sha1 in self.named:
            yield Stream(StreamKind.NAMED, sha1, name)


def interpret_streams(
    attributes: int, main_hash: bytes, entries: Sequence[tuple[bytes, bytes]]
) -> FileStreams:
    """Read main hash and extra (name, hash) entries as wim-container 6.8.1 says."""
    elements = [(b"", main_hash), *entries]
    if attributes & FileAttribute.ENCRYPTED:
        unnamed = (sha1 for name, sha1 in elements if not name and sha1 != ZERO_SHA1)
        return FileStreams(efs=next(unnamed, None))
    is_reparse = bool(attributes & FileAttribute.REPARSE_POINT)
    data = reparse = None
    named: dict[bytes, bytes] = {}
    for index, (name, sha1) in enumerate(elements):
        if name:
            named.setdefault(name, sha1)
        elif index == 0 and sha1 == ZERO_SHA1:
            continue
        elif is_reparse and reparse is None:
            reparse = sha1
        elif data is None:
            data = sha1
    if is_reparse and reparse is None:
        reparse = ZERO_SHA1
    elif not is_reparse and data is None:
        data = ZERO_SHA1
    return FileStreams(data, reparse, None, tuple(named.items()))
