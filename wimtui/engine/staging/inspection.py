"""One path looked at closely: what it was and is, and the bytes around its differences."""

from __future__ import annotations

import base64
import os
import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from wimtui.engine.errors import MetadataError, NodeNotFoundError, WimError
from wimtui.engine.image.sddl import sddl_text
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.image.tagged_items import object_id, unix_data
from wimtui.engine.staging.compared import changed_streams
from wimtui.engine.staging.contents import InlineFile
from wimtui.engine.staging.diff import first_difference
from wimtui.engine.staging.node import FIRST_NEW_ID
from wimtui.engine.staging.paths import find_base_path, find_path
from wimtui.engine.tree import Ino

if TYPE_CHECKING:
    from wimtui.engine.staging.compared import StreamPair, StreamSide
    from wimtui.engine.staging.node import NodeId, StagedNode, StagedStream
    from wimtui.engine.staging.overlay import Overlay
    from wimtui.engine.tree import OpenFile

PIECE_NBYTES: Final = 256 << 10
"""Streams up to this are compared whole; of others as much is shown from shortly before the first
difference on."""

SCAN_NBYTES: Final = 32 << 20
"""A first difference is looked for in this much: the image's side has to be decoded for it."""

LEAD_NBYTES: Final = 512
"""What says of which encoding a stream is where only its middle is shown."""

_SIDES: Final = ("before", "after")
_BYTES: Final = frozenset({"before", "after", "lead_before", "lead_after"})
_BEFORE_NBYTES: Final = 4 << 10
_ALIGNMENT: Final = 16


@dataclass(frozen=True, slots=True)
class SideFacts:
    """A path at one moment. Times are ticks; sizes bytes."""

    path: str
    type: int
    """S_IFDIR, S_IFREG or S_IFLNK."""
    size: int
    attributes: int
    creation_time: int
    access_time: int
    write_time: int
    link_count: int
    short_name: str
    sddl: str
    """Empty without a security descriptor, and for one that is malformed."""
    reparse_tag: int
    link_target: str
    unix: tuple[int, int, int] | None
    """Owner, group and mode, where the image stores them."""
    object_id: str
    streams: tuple[tuple[str, int], ...]
    """Named streams: name and size."""


@dataclass(frozen=True, slots=True)
class StreamComparison:
    """One stream whose bytes may differ, with the part of it that is worth showing."""

    name: str
    """Empty for the unnamed data, or a link's target."""
    size_before: int | None
    """None where there was no such stream."""
    size_after: int | None
    difference: int | None
    """Offset in the stream of the first byte that differs; None without one in ``scanned``."""
    scanned: int
    """Bytes compared from the beginning."""
    start: int
    """Offset in the stream of ``before`` and ``after``."""
    before: bytes
    after: bytes
    lead_before: bytes
    """The first bytes, where ``start`` is not 0."""
    lead_after: bytes
    problem: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True)
class PathComparison:
    """A path before and after; None where it was not or is not there."""

    before: SideFacts | None
    after: SideFacts | None
    streams: tuple[StreamComparison, ...]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, bytes in base64."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> PathComparison:
        """Read what ``as_json`` made."""
        before, after = (None if stored[side] is None else _side(stored[side]) for side in _SIDES)
        streams = [
            StreamComparison(**{key: _bytes(key, value) for key, value in one.items()})
            for one in stored["streams"]
        ]
        return cls(before, after, tuple(streams))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _bytes(key: str, value: Any) -> Any:
    return base64.b64decode(value) if key in _BYTES else value


def _side(stored: dict[str, Any]) -> SideFacts:
    unix = stored["unix"]
    streams = tuple((name, size) for name, size in stored["streams"])
    return SideFacts(
        **{**stored, "unix": None if unix is None else tuple(unix), "streams": streams}
    )


@dataclass(frozen=True, slots=True)
class StreamPiece:
    """Some bytes of a stream, and what there is to know of its file."""

    data: bytes
    size: int
    """Of the whole stream."""
    mode: int
    """As stat shows it."""
    mtime_ns: int
    named_streams: tuple[str, ...]


def compare_path(overlay: Overlay, path: bytes) -> PathComparison:
    """Compare what is staged at a path with what the image has, as ``changed_streams`` pairs it.

    Reads at most ``SCAN_NBYTES`` of each side of each stream.

    Raises:
        NodeNotFoundError: Neither the merged tree nor the image has that path.
        WimError: The WIM's metadata cannot be read.
    """
    with overlay.layer.lock:
        number = find_path(overlay, path)
        old = number if number is not None and number < FIRST_NEW_ID else None
        if old is None:
            old = find_base_path(overlay, path)
        if number is None and old is None:
            raise NodeNotFoundError(f"no {path.decode(errors='replace')}")
        before = None if old is None else _base_facts(overlay, old, path)
        after = None if number is None else _facts_now(overlay, number, path)
    try:
        pairs = changed_streams(overlay, path)
    except (WimError, OSError) as error:
        return PathComparison(before, after, (_unreadable("", (None, None), error),))
    try:
        return PathComparison(before, after, tuple(_compared(pair) for pair in pairs))
    finally:
        for pair in pairs:
            pair.close()


def _compared(pair: StreamPair) -> StreamComparison:
    before, after = pair.before, pair.after
    sizes = None if before is None else before.size, None if after is None else after.size
    longest, shortest = max(size or 0 for size in sizes), min(size or 0 for size in sizes)
    name = os.fsdecode(pair.name)
    scanned = min(shortest, SCAN_NBYTES)
    try:
        difference = first_difference(before, after, scanned)
        if difference is None and scanned == shortest < longest and before and after:
            difference = shortest
        start = 0
        if longest > PIECE_NBYTES and difference is not None:
            start = max(difference - _BEFORE_NBYTES, 0) // _ALIGNMENT * _ALIGNMENT
        lead = LEAD_NBYTES if start else 0
        return StreamComparison(
            name, *sizes, difference, scanned, start,
            _read(before, start, PIECE_NBYTES), _read(after, start, PIECE_NBYTES),
            _read(before, 0, lead), _read(after, 0, lead),
        )  # fmt: skip
    except (WimError, OSError) as error:
        return _unreadable(name, sizes, error)


def _unreadable(
    name: str, sizes: tuple[int | None, int | None], error: Exception
) -> StreamComparison:
    return StreamComparison(name, *sizes, None, 0, 0, b"", b"", b"", b"", str(error))


def _read(side: StreamSide | None, offset: int, count: int) -> bytes:
    if side is None or offset >= side.size or not count:
        return b""
    return side.file.read(offset, min(count, side.size - offset))


def read_piece(
    overlay: Overlay, path: bytes, stream: bytes, offset: int, count: int, *, before: bool = False
) -> StreamPiece:
    """Return bytes of a file of the merged tree, or of the image under it.

    Args:
        overlay: Where the file is.
        path: From the root.
        stream: A named stream; empty for the data. A link's data is its target, a directory's
            nothing.
        offset: In the stream.
        count: Bytes wanted; fewer at the end.
        before: As the image has it.

    Raises:
        NodeNotFoundError: There is no such path or stream.
        WimError: The data cannot be read.
    """
    with overlay.layer.lock:
        number = find_base_path(overlay, path) if before else find_path(overlay, path)
        if number is None:
            raise NodeNotFoundError(f"no {path.decode(errors='replace')}")
        base = overlay.layer.base
        node = base.node(number) if before else overlay.layer.node(number)
        streams = _streams(overlay, number, before=before)
        if before:
            known = base.view.attributes(Ino(number))
        else:
            known = overlay.attributes(overlay.ino(number))
        opened, size = _open(overlay, node, streams, stream, before=before)
    try:
        data = b"" if opened is None or not count else opened.read(offset, count)
    finally:
        if opened is not None:
            opened.close()
    named = tuple(os.fsdecode(one.name) for one in streams if one.kind is StreamKind.NAMED)
    return StreamPiece(data, size, known.mode, known.mtime_ns, named)


def _open(
    overlay: Overlay,
    node: StagedNode,
    streams: tuple[StagedStream, ...],
    name: bytes,
    *,
    before: bool,
) -> tuple[OpenFile | None, int]:
    if not name and node.type == stat.S_IFLNK:
        target = _target(overlay, node, before=before)
        return InlineFile(target), len(target)
    if not name and node.type == stat.S_IFDIR:
        return None, 0
    kind = StreamKind.NAMED if name else StreamKind.DATA
    found = next((one for one in streams if one.kind is kind and one.name == name), None)
    if found is None:
        if name:
            raise NodeNotFoundError(f"no stream {name.decode(errors='replace')}")
        return None, 0
    size = overlay.contents.source_size(found.source)
    if before:
        return overlay.contents.open_source(found.source), size
    return overlay.contents.open_for_reading(found.id if name else node.id), size


def _target(overlay: Overlay, node: StagedNode, *, before: bool) -> bytes:
    if before:
        return overlay.layer.base.view.read_link(Ino(node.id))
    return overlay.read_link(overlay.ino(node.id))


def _streams(overlay: Overlay, number: NodeId, *, before: bool) -> tuple[StagedStream, ...]:
    if before:
        return overlay.layer.base.streams(number)
    return overlay.layer.node_with_streams(number).streams or ()


def _base_facts(overlay: Overlay, number: NodeId, path: bytes) -> SideFacts:
    base = overlay.layer.base
    known = find_base_path(overlay, path)
    if known != number:
        path = base.metadata.path(base.dentry(number))
    short_name = b""
    for dentry in base.dentries(number):
        if base.metadata.path(dentry) == path:
            short_name = base.metadata.columns.short_name(dentry)
    return _facts(overlay, base.node(number), path, short_name, before=True)


def _facts_now(overlay: Overlay, number: NodeId, path: bytes) -> SideFacts:
    above, _, name = path.rstrip(b"/").rpartition(b"/")
    directory = find_path(overlay, above)
    entry = None if directory is None or not name else overlay.layer.entry(directory, name)
    short_name = b"" if entry is None else entry.short_name
    return _facts(overlay, overlay.layer.node(number), path, short_name, before=False)


def _facts(
    overlay: Overlay, node: StagedNode, path: bytes, short_name: bytes, *, before: bool
) -> SideFacts:
    layer, contents = overlay.layer, overlay.contents
    streams = _streams(overlay, node.id, before=before)
    data = next((one for one in streams if one.kind is StreamKind.DATA), None)
    unix, known_object = unix_data(node.tagged_items), object_id(node.tagged_items)
    target = b""
    if node.type == stat.S_IFLNK:
        try:
            target = _target(overlay, node, before=before)
        except WimError as error:
            target = f"({error})".encode()
    size = len(target) if data is None else contents.source_size(data.source)
    return SideFacts(
        path=os.fsdecode(path),
        type=node.type,
        size=0 if node.type == stat.S_IFDIR else size,
        attributes=node.attributes,
        creation_time=node.creation_time,
        access_time=node.access_time,
        write_time=node.write_time if before else contents.write_time(node),
        link_count=layer.base.link_count(node.id) if before else layer.link_count(node.id),
        short_name=os.fsdecode(short_name),
        sddl=_sddl(overlay, node),
        reparse_tag=node.reparse_tag,
        link_target=os.fsdecode(target),
        unix=None if unix is None else (unix.uid, unix.gid, unix.mode),
        object_id="" if known_object is None else str(known_object.object_id),
        streams=tuple(
            (os.fsdecode(one.name), contents.source_size(one.source))
            for one in streams
            if one.kind is StreamKind.NAMED
        ),
    )


def _sddl(overlay: Overlay, node: StagedNode) -> str:
    descriptor = node.descriptor
    if descriptor is None:
        descriptor = overlay.layer.base.metadata.security.descriptor(node.security_id)
    try:
        return "" if descriptor is None else sddl_text(descriptor)
    except MetadataError:
        return ""
