"""The streams of one path before and after, for a diff."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.errors import NodeNotFoundError
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.staging.contents import InlineFile
from wimtui.engine.staging.node import FIRST_NEW_ID, StagedFile
from wimtui.engine.staging.paths import find_base_path, find_path

if TYPE_CHECKING:
    from wimtui.engine.staging.node import NodeId, StagedStream, StreamSource
    from wimtui.engine.staging.overlay import Overlay
    from wimtui.engine.tree import OpenFile


@dataclass(frozen=True, slots=True)
class StreamSide:
    """One stream at one moment; to be closed."""

    file: OpenFile
    size: int


@dataclass(frozen=True, slots=True)
class StreamPair:
    """A stream before and after; None where it was not or is not there."""

    name: bytes
    """Empty for the unnamed data, or a link's target."""
    before: StreamSide | None
    after: StreamSide | None

    def close(self) -> None:
        """Close both files."""
        for side in (self.before, self.after):
            if side is not None:
                side.file.close()


def changed_streams(overlay: Overlay, path: bytes) -> list[StreamPair]:
    """Return the streams of a path whose bytes may differ: unnamed first, then by name.

    A renamed file is compared with itself under its old name, a deleted one with nothing. A link's
    target is given as the bytes that readlink shows.

    Raises:
        NodeNotFoundError: Neither the merged tree nor the image has that path.
        WimError: The data cannot be read.
    """
    with overlay.layer.lock:
        number = find_path(overlay, path)
        old = number if number is not None and number < FIRST_NEW_ID else None
        if number is None:
            old = find_base_path(overlay, path)
            if old is None:
                raise NodeNotFoundError(f"no {path.decode(errors='replace')}")
        elif old is None:
            old = find_base_path(overlay, path)
        return _pairs(overlay, old, number)


def _pairs(overlay: Overlay, old: NodeId | None, number: NodeId | None) -> list[StreamPair]:
    before = {} if old is None else _sources(overlay.layer.base.streams(old))
    after = {}
    if number is not None:
        after = _sources(overlay.layer.node_with_streams(number).streams or ())
    pairs = []
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        sides = [
            _open(overlay, node, found.get(name))
            for node, found in ((old, before), (number, after))
        ]
        pairs.append(StreamPair(name, *sides))
    return pairs


def _sources(streams: tuple[StagedStream, ...]) -> dict[bytes, tuple[StreamKind, StreamSource]]:
    return {
        stream.name: (stream.kind, stream.source)
        for stream in streams
        if stream.kind is not StreamKind.EFS
    }


def _open(
    overlay: Overlay, number: NodeId | None, found: tuple[StreamKind, StreamSource] | None
) -> StreamSide | None:
    if found is None or number is None:
        return None
    kind, source = found
    contents = overlay.contents
    if kind is StreamKind.REPARSE and overlay.layer.type(number) == stat.S_IFLNK:
        target = overlay.read_link(overlay.ino(number))
        return StreamSide(InlineFile(target), len(target))
    if isinstance(source, StagedFile):
        stream = next(
            stream
            for stream in overlay.layer.node_with_streams(number).streams or ()
            if stream.source == source
        )
        return StreamSide(contents.open_for_reading(stream.id), contents.source_size(source))
    opened = contents.open_source(source)
    if opened is None:
        return StreamSide(InlineFile(b""), 0)
    return StreamSide(opened, contents.source_size(source))
