"""Named streams of one file, and the ``file:stream`` paths of Windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from wimtui.engine.errors import NameEncodingError
from wimtui.engine.image.blobs import ZERO_SHA1
from wimtui.engine.image.names import text_from_wtf8, upcase

if TYPE_CHECKING:
    from wimtui.engine.image._columns import Columns

_KIND_NAMED = 1


class NamedStream(NamedTuple):
    """A named data stream and its row in the columns."""

    name: bytes
    sha1: bytes
    row: int


class NamedStreams(list[NamedStream]):
    """The named streams of one inode, in stored order.

    Attributes:
        data_sha1: A reparse point's unnamed data stream; elsewhere zero.
    """

    __slots__ = ("data_sha1",)

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.data_sha1 = ZERO_SHA1

    def find(self, name: bytes) -> NamedStream | None:
        """Return the stream of that name; an exact match goes before one in another case."""
        for stream in self:
            if stream.name == name:
                return stream
        try:
            wanted = upcase(text_from_wtf8(name))
        except NameEncodingError:
            return None
        for stream in self:
            if upcase(text_from_wtf8(stream.name)) == wanted:
                return stream
        return None


def named_streams(columns: Columns, dentry: int) -> NamedStreams:
    """Return the streams that a dentry stores beside its content."""
    streams = NamedStreams()
    first, count = columns.stream_range(dentry)
    for index in range(first, first + count):
        kind, name, sha1 = columns.stream(index)
        if kind == _KIND_NAMED:
            streams.append(NamedStream(name, sha1, index))
        else:
            streams.data_sha1 = sha1
    return streams


@dataclass(frozen=True, slots=True)
class StreamPath:
    """A path component that names a stream: ``file:stream``, with or without ``:$DATA``."""

    file_name: bytes
    stream_name: bytes
    """Empty for the unnamed data stream, ``file::$DATA``."""

    @classmethod
    def parse(cls, component: bytes) -> Self | None:
        """Split a component, or return None for one that names a file only.

        The first colon separates if anything follows it.
        """
        file_name, colon, rest = component.partition(b":")
        if not colon or not rest or not file_name:
            return None
        stream_name, colon, kind = rest.partition(b":")
        if colon:
            return cls(file_name, stream_name) if kind.upper() == b"$DATA" else None
        return cls(file_name, stream_name)
