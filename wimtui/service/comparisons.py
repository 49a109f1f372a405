"""One changed file as something to look at: a line diff where it is text, hex elsewhere."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from wimtui.service.changes import PathComparison, SideFacts, comparison_of
from wimtui.service.previews import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wimtui.service.changes import StreamComparison

__all__ = ["HexRow", "PathDiff", "SideFacts", "StreamDiff", "StreamDiffKind", "diff_path"]

MAX_LINES: Final = 2000
"""Lines of one side compared, those apart that both begin or end with: in the worst case the time
grows by the square."""

HEX_ROWS: Final = 32
_HEX_COLUMNS: Final = 16
_ROWS_BEFORE: Final = 1
_CONTEXT: Final = 3


class StreamDiffKind(StrEnum):
    """How a stream is shown."""

    TEXT = "text"
    HEX = "hex"
    SAME = "same"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class HexRow:
    """16 bytes of a stream before and after; None where there are none."""

    offset: int
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class StreamDiff:
    """One stream, before and after."""

    name: str
    """Empty for the file's data."""
    kind: StreamDiffKind
    size_before: int | None
    size_after: int | None
    encoding: str = ""
    """Of text; of both sides where they differ."""
    lines: tuple[str, ...] = ()
    """Of a unified diff: each begins with ``+``, ``-``, a space or ``@@``."""
    rows: tuple[HexRow, ...] = ()
    note: str = ""
    """What is not shown, or why nothing is."""


@dataclass(frozen=True, slots=True)
class PathDiff:
    """A path before and after; None where it was not or is not there."""

    path: str
    before: SideFacts | None
    after: SideFacts | None
    streams: tuple[StreamDiff, ...]


def diff_path(target: str, path: str) -> PathDiff:
    """Compare one path with the image; reads a bounded part of large files.

    Args:
        target: Mount point, mount id or staging folder.
        path: From the root of the image.

    Raises:
        NodeNotFoundError: Neither the mount nor the image has that path.
        NotAMountError: Nothing is mounted or staged there.
    """
    return path_diff(path, comparison_of(target, path))


def path_diff(path: str, found: PathComparison) -> PathDiff:
    """Return what there is to show of a comparison."""
    streams = tuple(map(stream_diff, found.streams))
    return PathDiff(path, found.before, found.after, streams)


def stream_diff(found: StreamComparison) -> StreamDiff:
    """Return what there is to show of one stream."""
    name, sizes = found.name, (found.size_before, found.size_after)
    if found.problem:
        return StreamDiff(name, StreamDiffKind.PROBLEM, *sizes, note=found.problem)
    is_both = None not in sizes
    if is_both and found.difference is None:
        note = "no difference"
        if max(size or 0 for size in sizes) > found.scanned:
            note = f"the first {found.scanned:,} bytes are the same; what follows was not read"
        return StreamDiff(name, StreamDiffKind.SAME, *sizes, note=note)
    texts = _text(found, before=True), _text(found, before=False)
    if texts[0] is None or texts[1] is None:
        return _hex_diff(found)
    return _text_diff(found, texts[0], texts[1])


def _text(found: StreamComparison, *, before: bool) -> tuple[str, str] | None:
    """Return the text of one side and its encoding; that of what is empty or absent is empty."""
    data = found.before if before else found.after
    size = (found.size_before if before else found.size_after) or 0
    if not data:
        return "", ""
    is_cut = found.start + len(data) < size
    if not found.start:
        return as_text(data, is_cut=is_cut)
    lead = as_text(found.lead_before if before else found.lead_after, is_cut=True)
    if lead is None:
        return None
    newline = "\n".encode(lead[1])
    at = data.find(newline) + len(newline)
    # A line cut in two at the beginning cannot be compared; nor may a sign of UTF-16 be cut.
    is_usable = len(newline) <= at <= len(data) // 2 and at % len(newline) == 0
    text = data[at if is_usable else 0 :].decode(lead[1], "replace")
    return text.replace("\r\n", "\n"), lead[1]


def _text_diff(found: StreamComparison, old: tuple[str, str], new: tuple[str, str]) -> StreamDiff:
    encoding = " → ".join(dict.fromkeys(one for one in (old[1], new[1]) if one))
    notes = []
    before, after = old[0].splitlines(), new[0].splitlines()
    if found.start:
        notes.append(f"shown from offset {found.start:,} on; lines are counted from there")
    shown = found.start + max(len(found.before), len(found.after))
    if shown < max(found.size_before or 0, found.size_after or 0):
        notes.append(f"only the part up to offset {shown:,} was compared")
    lines, is_cut = unified(before, after)
    if is_cut:
        notes.append(f"only {MAX_LINES:,} lines that differ were compared")
    if not lines:
        notes.insert(0, _same_lines(found))
    sizes = found.size_before, found.size_after
    return StreamDiff(
        found.name, StreamDiffKind.TEXT, *sizes, encoding, tuple(lines), note="; ".join(notes)
    )


def _same_lines(found: StreamComparison) -> str:
    if found.size_before is None or found.size_after is None:
        return "empty"
    return "only encoding, line ends or the newline at the end differ"


def unified(before: Sequence[str], after: Sequence[str]) -> tuple[list[str], bool]:
    """Return a unified diff without file names, and whether lines were left out."""
    shortest = min(len(before), len(after))
    head = next((n for n in range(shortest) if before[n] != after[n]), shortest)
    tail = 0
    while tail < shortest - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    if head == len(before) == len(after):
        return [], False
    first = max(head - _CONTEXT, 0)
    behind = max(tail - _CONTEXT, 0)
    old, new = before[first : len(before) - behind], after[first : len(after) - behind]
    is_cut = max(len(old), len(new)) > MAX_LINES
    lines = list(_hunks(old[:MAX_LINES], new[:MAX_LINES], first))
    return lines, is_cut


def _hunks(old: Sequence[str], new: Sequence[str], first: int) -> Iterator[str]:
    matcher = difflib.SequenceMatcher(None, old, new)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        ends = group[0][1], group[-1][2], group[0][3], group[-1][4]
        yield (
            f"@@ -{_range(first + ends[0], first + ends[1])}"
            f" +{_range(first + ends[2], first + ends[3])} @@"
        )
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (" " + line for line in old[i1:i2])
                continue
            yield from ("-" + line for line in old[i1:i2])
            yield from ("+" + line for line in new[j1:j2])


def _range(start: int, stop: int) -> str:
    length = stop - start
    return f"{start + 1}" if length == 1 else f"{start + 1 if length else start},{length}"


def _hex_diff(found: StreamComparison) -> StreamDiff:
    difference = found.difference or 0
    top = max(difference // _HEX_COLUMNS - _ROWS_BEFORE, found.start // _HEX_COLUMNS)
    rows = []
    for number in range(top, top + HEX_ROWS):
        at = number * _HEX_COLUMNS - found.start
        pieces = found.before[at : at + _HEX_COLUMNS], found.after[at : at + _HEX_COLUMNS]
        if not any(pieces):
            break
        rows.append(HexRow(number * _HEX_COLUMNS, pieces[0] or None, pieces[1] or None))
    sizes = found.size_before, found.size_after
    note = ""
    if None not in sizes:
        note = f"first difference at offset {difference:,} ({difference:#x})"
    return StreamDiff(found.name, StreamDiffKind.HEX, *sizes, rows=tuple(rows), note=note)
