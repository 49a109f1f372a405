"""What differs in one changed file: lines with signs and colours, bytes side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from wimtui.service.comparisons import StreamDiffKind
from wimtui.widgets.cells import Cell, plain, plain_text, size_text
from wimtui.widgets.change_table import kind_badge, old_name, totals_text
from wimtui.widgets.text_view import TextView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.service.change_tree import ChangeNode
    from wimtui.service.comparisons import HexRow, PathDiff, StreamDiff
    from wimtui.widgets.cells import Tone

_MAX_NAMES = 500
_ROW_NBYTES = 8
SIDE_BY_SIDE = 80
"""Cells from which both sides of a hex row fit beside each other."""

_SIGN_TONES: dict[str, Tone] = {"+": "good", "-": "bad", "@": "info"}


class ChangeView(TextView):
    """A diff to scroll through."""

    BINDINGS: ClassVar = [
        Binding("n", "next_hunk(1)", "Next change", show=False),
        Binding("N", "next_hunk(-1)", "Change before", show=False),
    ]

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._diff: PathDiff | None = None
        self._hunks: list[int] = []

    def show_diff(self, diff: PathDiff, *, keep_place: bool = False) -> None:
        """Show one path."""
        self._diff = diff
        lines = list(diff_lines(diff, is_wide=self.size.width >= SIDE_BY_SIDE))
        self._hunks = [
            number
            for number, line in enumerate(lines)
            if isinstance(line, Cell) and line.tone in ("info", "accent")
        ]
        self.show(lines, keep_place=keep_place)

    def show_folder(self, node: ChangeNode, *, keep_place: bool = False) -> None:
        """Show what is below a folder."""
        self._diff = None
        self._hunks = []
        self.show(folder_lines(node), keep_place=keep_place)

    def show_problem(self, text: str) -> None:
        """Show why there is nothing to show."""
        self._diff = None
        self._hunks = []
        self.show_sentences([Cell(plain(text), "bad")])

    def on_resize(self) -> None:
        """Lay hex rows out for another width."""
        if self._diff is not None:
            self.show_diff(self._diff, keep_place=True)

    def action_next_hunk(self, step: int) -> None:
        """Go to the next change, or the one before."""
        top = round(self.scroll_offset.y)
        if step > 0:
            found = next((at for at in self._hunks if at > top), None)
        else:
            found = next((at for at in reversed(self._hunks) if at < top), None)
        if found is not None:
            self.scroll_to(y=found, animate=False)


def folder_lines(node: ChangeNode) -> Iterator[str | Cell]:
    """Yield the totals of a folder and the changes below it."""
    yield Cell(totals_text(node) or "nothing below it has changed", "muted")
    yield ""
    left = _MAX_NAMES
    pending = list(reversed(node.children))
    while pending and left:
        one = pending.pop()
        pending.extend(reversed(one.children))
        if one.change is None:
            continue
        left -= 1
        slash = "/" if one.change.is_directory else ""
        name = plain(one.path[len(node.path.rstrip("/")) + 1 :]) + slash
        if one.change.old_path is not None:
            name = f"{old_name(one.change)} → {name}"
        badge = kind_badge(one.change)
        yield Cell(f"{badge.text}  {name}", badge.tone)
    if pending:
        yield Cell("…", "muted")


def diff_lines(diff: PathDiff, *, is_wide: bool) -> Iterator[str | Cell]:
    """Yield everything there is to show of a path."""
    if not diff.streams:
        yield Cell(_without_streams(diff), "muted")
    for number, stream in enumerate(diff.streams):
        if number:
            yield ""
        if stream.name or len(diff.streams) > 1:
            name = f"stream {plain(stream.name)}" if stream.name else "data"
            yield Cell(name, "accent")
        yield from _stream_lines(stream, is_wide=is_wide)


def _without_streams(diff: PathDiff) -> str:
    if diff.before is None or diff.after is None:
        return "no data"
    return "the data is the same; see the facts for what changed"


def _stream_lines(stream: StreamDiff, *, is_wide: bool) -> Iterator[str | Cell]:
    sizes = [f"{size:,}" for size in (stream.size_before, stream.size_after) if size is not None]
    text = " → ".join(dict.fromkeys(sizes)) + " bytes"
    if stream.encoding:
        text += f", {stream.encoding}"
    if stream.kind is StreamDiffKind.PROBLEM:
        yield Cell(plain(stream.note), "bad")
        return
    yield Cell(text, "muted")
    if stream.note:
        yield Cell(plain(stream.note), "muted")
    for line in stream.lines:
        yield Cell(plain_text(line), _SIGN_TONES.get(line[:1], ""))
    if stream.rows:
        yield from _hex_lines(stream, is_wide=is_wide)


def _hex_lines(stream: StreamDiff, *, is_wide: bool) -> Iterator[Cell]:
    is_wide = is_wide and None not in (stream.size_before, stream.size_after)
    if is_wide:
        yield Cell(f"{'':8}  {'before':<33}   after", "muted")
    for row in stream.rows:
        for at in range(0, 16, _ROW_NBYTES):
            yield from _hex_row(row, at, is_wide=is_wide)
    shown = stream.rows[-1].offset + 16
    size = max(stream.size_before or 0, stream.size_after or 0)
    if shown < size:
        yield Cell(f"… {size_text(size - shown)} more", "muted")


def _hex_row(row: HexRow, at: int, *, is_wide: bool) -> Iterator[Cell]:
    before, after = (
        None if side is None else side[at : at + _ROW_NBYTES] or None
        for side in (row.before, row.after)
    )
    if before is None and after is None:
        return
    offset = f"{row.offset + at:08x}"
    if is_wide:
        tone: Tone = "" if before == after else "warn"
        yield Cell(f"{offset}  {_hex(before)} │ {_hex(after)}", tone)
    elif before == after:
        yield Cell(f" {offset}  {_hex(before)}")
    else:
        if before is not None:
            yield Cell(f"-{offset}  {_hex(before)}", "bad")
        if after is not None:
            yield Cell(f"+{offset}  {_hex(after)}", "good")


def _hex(data: bytes | None) -> str:
    if data is None:
        return " " * 33
    signs = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in data)
    return f"{data.hex(' '):<23}  {signs:<8}"
