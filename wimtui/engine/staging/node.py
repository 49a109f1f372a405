"""Nodes, streams and names as the overlay keeps them: values that are replaced, never edited.

Because they never change, a snapshot of the overlay is a copy of a few dictionaries. They are
tuples, as one is made for every operation: ``_replace`` takes a fifth of dataclasses.replace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from wimtui.engine.image.streams import StreamKind

NodeId: TypeAlias = int
"""Number of a node or of a named stream within a staging store.

Up to ``FIRST_NEW_ID`` those of the base image as ImageView gives them out, from there on new.
"""

FIRST_NEW_ID: Final = 1 << 40


class BaseBlob(NamedTuple):
    """A stream as the base image has it; the zero hash stands for no bytes."""

    sha1: bytes


class StagedFile(NamedTuple):
    """A stream in a file of the staging folder; where that file is missing, no bytes."""

    number: int


class InlineData(NamedTuple):
    """A small stream kept in the database itself: reparse data, or an attribute's value."""

    data: bytes


StreamSource: TypeAlias = BaseBlob | StagedFile | InlineData


class StagedStream(NamedTuple):
    """One stream of a node."""

    kind: StreamKind
    name: bytes
    """WTF-8; empty for all but named streams."""
    id: NodeId
    """What the stream itself is opened by: the node's number for the data, one of its own for a
    named stream, 0 for what cannot be opened."""
    source: StreamSource


class StagedNode(NamedTuple):
    """Everything about a node that is new or differs from the base image, names apart."""

    id: NodeId
    type: int
    """S_IFMT part of the mode, as the tree treats the node: S_IFREG also for devices."""
    attributes: int
    security_id: int = -1
    """In the base image's table."""
    descriptor: bytes | None = None
    """A SECURITY_DESCRIPTOR that takes the place of ``security_id``."""
    creation_time: int = 0
    """Ticks, like the other times."""
    access_time: int = 0
    write_time: int = 0
    """Outdated by the modification time of a staged file, see ``staged_files``."""
    times_set: bool = False
    """Somebody set times explicitly."""
    reparse_tag: int = 0
    reparse_reserved: int = 0
    rp_flags: int = 0
    tagged_items: bytes = b""
    streams: tuple[StagedStream, ...] | None = None
    """All of them, or None where they are those of the base image."""

    @property
    def is_new(self) -> bool:
        """Whether the base image does not have the node."""
        return self.id >= FIRST_NEW_ID

    def stream(self, kind: StreamKind, name: bytes = b"") -> StagedStream | None:
        """Return a stream; None also where the streams are the base image's."""
        for stream in self.streams or ():
            if stream.kind is kind and stream.name == name:
                return stream
        return None

    def with_stream(self, changed: StagedStream) -> StagedNode:
        """Return the node with a stream replaced (by kind and name) or added."""
        streams = list(self.streams or ())
        for index, stream in enumerate(streams):
            if stream.kind is changed.kind and stream.name == changed.name:
                streams[index] = changed
                break
        else:
            streams.append(changed)
        return self._replace(streams=tuple(streams))

    def without_stream(self, gone: StagedStream) -> StagedNode:
        """Return the node without a stream."""
        kept = tuple(stream for stream in self.streams or () if stream is not gone)
        return self._replace(streams=kept)

    def staged_files(self) -> list[int]:
        """Return the numbers of the staged files that hold its streams."""
        return [
            stream.source.number
            for stream in self.streams or ()
            if isinstance(stream.source, StagedFile)
        ]


class Entry(NamedTuple):
    """What a name in a directory stands for."""

    node: NodeId
    short_name: bytes = b""
    """8.3 name, WTF-8."""
