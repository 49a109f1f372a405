"""Text to scroll through, of which only the lines on screen are drawn."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from wimtui.widgets.cells import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 4000
"""Cells of a line that can be scrolled to."""

_LEAST_WRAPPED = 40


class TextView(ScrollView, can_focus=True):
    """Lines, each with a tone of its own where it has one."""

    BINDINGS: ClassVar = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("left,h", "scroll_left", "Left", show=False),
        Binding("right,l", "scroll_right", "Right", show=False),
        Binding("pageup,ctrl+b", "page_up", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page_down", "Page down", show=False),
        Binding("home,g", "scroll_home", "Top", show=False),
        Binding("end,G", "scroll_end", "Bottom", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tone--muted", "tone--strong", "tone--accent", "tone--good", "tone--warn", "tone--bad",
        "tone--info",
    }  # fmt: skip

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Cell] = []

    @property
    def text(self) -> str:
        """All that is shown."""
        return "\n".join(line.text for line in self._lines)

    def show(self, lines: Iterable[str | Cell], *, keep_place: bool = False) -> None:
        """Show other lines, which plain_text() made safe."""
        self._lines = [line if isinstance(line, Cell) else Cell(line) for line in lines]
        width = max((cell_len(line.text[:_LONGEST]) for line in self._lines), default=0)
        self.virtual_size = Size(min(width, _LONGEST) + 2, len(self._lines))
        if not keep_place:
            self.scroll_to(0, 0, animate=False, immediate=True)
        self.refresh()

    def show_sentences(self, sentences: Iterable[Cell]) -> None:
        """Show sentences, which plain() made safe, on as many lines as they take."""
        width = max(self.scrollable_content_region.width - 2, _LEAST_WRAPPED)
        lines = [(line, one.tone) for one in sentences for line in wrap(one.text, width)]
        self.show([Cell(line, tone) for line, tone in lines])

    @property
    def is_at_end(self) -> bool:
        """Whether the last line is on screen."""
        return self.scroll_offset.y >= self.max_scroll_y

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        width = self.scrollable_content_region.width
        style = self.rich_style
        number = y + round(self.scroll_offset.y)
        if number >= len(self._lines):
            return Strip.blank(width, style)
        line = self._lines[number]
        look = style
        if line.tone:
            look = style + self.get_component_rich_style(f"tone--{line.tone}", partial=True)
        left = round(self.scroll_offset.x)
        strip = Strip([Segment(" ", look), Segment(line.text[:_LONGEST], look)])
        return strip.crop_extend(left, left + width, style)
