"""What is staged against what the image has, as a unified diff."""

from __future__ import annotations

import codecs
import difflib
import os
from typing import TYPE_CHECKING, Final

from wimtui.engine.errors import NodeNotFoundError, WimError
from wimtui.engine.staging.changes import ChangedPart, ChangeKind, list_changes
from wimtui.engine.staging.compared import changed_streams
from wimtui.engine.staging.paths import find_base_path, find_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.staging.changes import Change
    from wimtui.engine.staging.compared import StreamSide
    from wimtui.engine.staging.overlay import Overlay

MAX_TEXT_NBYTES: Final = 1 << 20
"""Text beyond this is compared like binary data: a line diff takes time by the square."""

_PIECE_NBYTES: Final = 1 << 20
_NOWHERE: Final = b"/dev/null"
_UTF16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_NO_NEWLINE: Final = b"\\ No newline at end of file\n"


def diff_changes(overlay: Overlay, below: bytes = b"/") -> Iterator[bytes]:
    """Yield the lines of a diff, in UTF-8 but for names that are not.

    Named streams follow the file they belong to, as ``file:stream``. May read and decode all data
    concerned; a stream that cannot be read gets a line that says why.

    Args:
        overlay: What to compare with its image.
        below: Only what has this path, now or in the image, or lies below it.

    Raises:
        NodeNotFoundError: Nothing has that path, now or in the image.
    """
    found = False
    for change in list_changes(overlay):
        if _is_below(change.path, below) or _is_below(change.old_path, below):
            found = True
            yield from _change_lines(overlay, change)
    if not found and find_path(overlay, below) is None and find_base_path(overlay, below) is None:
        raise NodeNotFoundError(f"no {below.decode(errors='replace')}")


def _is_below(path: bytes | None, folder: bytes) -> bool:
    if path is None:
        return False
    return folder == b"/" or path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def _change_lines(overlay: Overlay, change: Change) -> Iterator[bytes]:
    old_path = change.old_path or change.path
    if change.kind is ChangeKind.RENAMED:
        yield b"rename from %s\nrename to %s\n" % (old_path, change.path)
    parts = change.what - {ChangedPart.DATA, ChangedPart.STREAMS, ChangedPart.NAMES}
    if parts:
        words = ", ".join(sorted(part.value for part in parts))
        yield b"%s of %s changed\n" % (words.encode("ascii"), change.path)
    if change.is_directory and change.kind in (ChangeKind.ADDED, ChangeKind.DELETED):
        yield b"directory %s %s\n" % (change.path, change.kind.value.encode("ascii"))
    try:
        pairs = changed_streams(overlay, change.path)
    except (WimError, OSError) as error:
        yield _unreadable(change.path, error)
        return
    try:
        for pair in pairs:
            suffix = b":" + pair.name if pair.name else b""
            labels = (
                old_path + suffix if pair.before else _NOWHERE,
                change.path + suffix if pair.after else _NOWHERE,
            )
            try:
                yield from _compare(pair.before, pair.after, labels)
            except (WimError, OSError) as error:
                yield _unreadable(change.path + suffix, error)
    finally:
        for pair in pairs:
            pair.close()


def _unreadable(path: bytes, error: Exception) -> bytes:
    text = str(error).encode("utf-8", "surrogateescape")
    return b"%s cannot be compared: %s\n" % (path, text)


def _compare(
    before: StreamSide | None, after: StreamSide | None, labels: tuple[bytes, bytes]
) -> Iterator[bytes]:
    sizes = before.size if before else 0, after.size if after else 0
    if max(sizes) <= MAX_TEXT_NBYTES:
        data = _whole(before), _whole(after)
        if data[0] == data[1] and before and after:
            return
        texts = _text(data[0]), _text(data[1])
        if texts[0] is not None and texts[1] is not None:
            yield from _text_diff((texts[0], texts[1]), labels)
            return
    offset = first_difference(before, after, min(sizes))
    if offset is None and sizes[0] == sizes[1] and before and after:
        return
    where = min(sizes) if offset is None else offset
    yield (
        b"Binary files %s and %s differ: %d bytes and %d bytes, first difference at offset %d\n"
        % (
            *labels,
            *sizes,
            where,
        )
    )


def _whole(side: StreamSide | None) -> bytes:
    return b"" if side is None else side.file.read(0, side.size)


def _text(data: bytes) -> str | None:
    """Return what text some bytes are, or None."""
    encoding = _UTF16.get(data[:2])
    try:
        if encoding is not None:
            return data[2:].decode(encoding)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _text_diff(texts: tuple[str, str], labels: tuple[bytes, bytes]) -> Iterator[bytes]:
    old_name, new_name = map(os.fsdecode, labels)
    lines = [text.splitlines(keepends=True) for text in texts]
    produced = False
    for line in difflib.unified_diff(lines[0], lines[1], old_name, new_name):
        produced = True
        encoded = line.encode("utf-8", "surrogateescape")
        yield encoded
        if not encoded.endswith(b"\n"):
            yield b"\n" + _NO_NEWLINE
    if not produced and _NOWHERE in labels:
        yield b"--- %s\n+++ %s\n" % labels
    elif not produced:
        yield b"%s and %s differ in their encoding only\n" % labels


def first_difference(before: StreamSide | None, after: StreamSide | None, size: int) -> int | None:
    """Return where the first ``size`` bytes differ, or None if they do not."""
    if before is None or after is None:
        return None
    for offset in range(0, size, _PIECE_NBYTES):
        count = min(_PIECE_NBYTES, size - offset)
        one, other = before.file.read(offset, count), after.file.read(offset, count)
        if one != other:
            return offset + _differing(one, other)
    return None


def _differing(one: bytes, other: bytes) -> int:
    """Return the index of the first byte in which two strings differ; halves them."""
    equal, end = 0, min(len(one), len(other))
    while equal < end:
        middle = (equal + end + 1) // 2
        if one[equal:middle] == other[equal:middle]:
            equal = middle
        else:
            end = middle - 1
    return equal
