"""A table that draws only the rows on screen: any number of rows, columns that fit the width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from rich.segment import Segment
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from wimtui.widgets.cells import Cell, Elide, fit

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from rich.style import Style
    from textual import events

RowT = TypeVar("RowT")

_HEADER_HEIGHT = 1
_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``width`` is the least; ``flex`` its share of what room is left over."""

    key: str
    label: str
    width: int
    flex: int = 0
    most: int = 1000
    align: Literal["left", "right"] = "left"
    elide: Elide = "end"
    rank: int = 0
    """Columns of the highest rank are left out first where the table is narrow."""


class ColumnTable(ScrollView, Generic[RowT], can_focus=True):
    """Rows of any type; a subclass says what is in a cell and by what a row is known again.

    Attributes:
        cursor: Index of the row under the cursor; 0 in an empty table.
    """

    COLUMNS: ClassVar[Sequence[Column]] = ()

    BINDINGS: ClassVar = [
        Binding("up,k", "cursor_by(-1)", "Up", show=False),
        Binding("down,j", "cursor_by(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "cursor_page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "cursor_page(1)", "Page down", show=False),
        Binding("home,g", "cursor_to(0)", "First row", show=False),
        Binding("end,G", "cursor_to(-1)", "Last row", show=False),
        Binding("enter", "select", "Choose", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header", "table--header-sorted", "table--cursor", "table--cursor-blurred",
        "table--hover", "table--hint",
        "tone--muted", "tone--strong", "tone--accent", "tone--good", "tone--warn", "tone--bad",
        "tone--info",
    }  # fmt: skip

    cursor = reactive(0)
    hover_row = reactive(-1)

    class Highlighted(Message):
        """Another row is under the cursor, or its value changed; None in an empty table."""

        def __init__(self, table: ColumnTable[Any], row: Any) -> None:
            super().__init__()
            self.table = table
            self.row = row

        @property
        def control(self) -> ColumnTable[Any]:
            """The table, for selectors of handlers."""
            return self.table

    class Selected(Message):
        """Enter, or a second click, on a row."""

        def __init__(self, table: ColumnTable[Any], row: Any) -> None:
            super().__init__()
            self.table = table
            self.row = row

        @property
        def control(self) -> ColumnTable[Any]:
            """The table, for selectors of handlers."""
            return self.table

    class HeaderClicked(Message):
        """A click on a column's name."""

        def __init__(self, table: ColumnTable[Any], key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> ColumnTable[Any]:
            """The table, for selectors of handlers."""
            return self.table

    def __init__(self, *, id: str | None = None, hint: str = "", classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self.rows: list[RowT] = []
        self.hint = hint
        """Shown in place of rows when there are none."""
        self.sort_key = ""
        self.sort_reverse = False
        self._layout: list[tuple[Column, int]] = []
        self._layout_width = -1

    # What a subclass says

    def cell(self, row: RowT, key: str) -> Cell | str:
        """Return what to show of a row in a column."""
        raise NotImplementedError

    def row_key(self, row: RowT) -> Hashable:
        """Return what a row is known by when the table shows other rows."""
        raise NotImplementedError

    # Rows

    @property
    def current(self) -> RowT | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def show(self, rows: list[RowT], hint: str | None = None) -> None:
        """Show other rows; the cursor stays with its row, or else at its place."""
        key = None if self.current is None else self.row_key(self.current)
        self.rows = rows
        if hint is not None:
            self.hint = hint
        at = self.cursor
        if key is not None and not (at < len(rows) and self.row_key(rows[at]) == key):
            at = next((n for n, row in enumerate(rows) if self.row_key(row) == key), at)
        self.rows_changed()
        at = max(0, min(at, len(rows) - 1))
        if at == self.cursor:
            self.post_message(self.Highlighted(self, self.current))
        else:
            self.cursor = at

    def rows_changed(self) -> None:
        """Draw again after ``rows`` was changed in place."""
        self.virtual_size = Size(self.scrollable_content_region.width, self._height())
        self.refresh()

    def move_to(self, key: Hashable) -> bool:
        """Put the cursor on the row of a key; False if there is none."""
        for number, row in enumerate(self.rows):
            if self.row_key(row) == key:
                self.cursor = number
                return True
        return False

    def visible_rows(self) -> list[RowT]:
        """Return the rows on screen."""
        top = round(self.scroll_offset.y)
        return self.rows[top : top + max(self.size.height - _HEADER_HEIGHT, 0)]

    def set_sort(self, key: str, *, reverse: bool = False) -> None:
        """Mark the column that rows are sorted by."""
        self.sort_key, self.sort_reverse = key, reverse
        self.refresh()

    # Layout

    def _height(self) -> int:
        return len(self.rows) + _HEADER_HEIGHT

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self.virtual_size = Size(self.scrollable_content_region.width, self._height())
        self._keep_in_view()

    # Drawing

    def render_line(self, y: int) -> Strip:
        """Draw one line of the widget."""
        width = self.scrollable_content_region.width
        base = self.rich_style
        if width != self._layout_width:
            self._layout, self._layout_width = lay_out(self.COLUMNS, width - 2), width
        if y < _HEADER_HEIGHT:
            return self._render_header(width)
        number = y - _HEADER_HEIGHT + round(self.scroll_offset.y)
        if number >= len(self.rows):
            if not self.rows and self.hint and number == 1:
                style = base + self._tone("table--hint")
                return Strip([Segment("  " + fit(self.hint, max(width - 2, 0)), style)], width)
            return Strip.blank(width, base)
        return self._render_row(number, width, base)

    def _render_header(self, width: int) -> Strip:
        style = self.get_component_rich_style("table--header")
        sorted_style = self.get_component_rich_style("table--header-sorted")
        segments = [Segment(" ", style)]
        for number, (column, column_width) in enumerate(self._layout):
            label = column.label
            is_sorted = column.key == self.sort_key
            if is_sorted:
                label = f"{label} {'▼' if self.sort_reverse else '▲'}"
            gap = " " * (_GAP if number < len(self._layout) - 1 else 1)
            text = fit(label, column_width, align=column.align)
            segments += [Segment(text, sorted_style if is_sorted else style), Segment(gap, style)]
        return Strip(segments).adjust_cell_length(width, style)

    def _render_row(self, number: int, width: int, base: Style) -> Strip:
        row = self.rows[number]
        style = base
        if number == self.cursor:
            name = "table--cursor" if self.has_focus else "table--cursor-blurred"
            style = base + self.get_component_rich_style(name)
        elif number == self.hover_row:
            style = base + self.get_component_rich_style("table--hover")
        is_cursor = number == self.cursor and self.has_focus
        segments = [Segment("▌" if number == self.cursor else " ", style + self._edge(is_cursor))]
        for place, (column, column_width) in enumerate(self._layout):
            cell = self.cell(row, column.key)
            text, tone = (cell, "") if isinstance(cell, str) else (cell.text, cell.tone)
            look = style + self._tone(f"tone--{tone}") if tone else style
            fitted = fit(text, column_width, elide=column.elide, align=column.align)
            gap = " " * (_GAP if place < len(self._layout) - 1 else 1)
            segments += [Segment(fitted, look), Segment(gap, style)]
        return Strip(segments).adjust_cell_length(width, style)

    def _edge(self, is_cursor: bool) -> Style:
        return self._tone("tone--accent" if is_cursor else "tone--muted")

    def _tone(self, name: str) -> Style:
        return self.get_component_rich_style(name, partial=True)

    # Moving

    def watch_cursor(self) -> None:
        """Follow the cursor and tell about it."""
        self._keep_in_view()
        self.refresh()
        self.post_message(self.Highlighted(self, self.current))

    def watch_hover_row(self) -> None:
        """Draw the row under the mouse."""
        self.refresh()

    def watch_has_focus(self, has_focus: bool) -> None:
        """Draw the cursor as it is now."""
        super().watch_has_focus(has_focus)
        self.refresh()

    def _keep_in_view(self) -> None:
        if self.rows:
            # The header covers the top line, so a row is in view from one line further down.
            region = Region(0, self.cursor, 1, _HEADER_HEIGHT + 1)
            self.scroll_to_region(region, animate=False, force=True, immediate=True)

    def action_cursor_by(self, rows: int) -> None:
        """Move the cursor."""
        self.cursor = max(0, min(self.cursor + rows, len(self.rows) - 1))

    def action_cursor_page(self, pages: int) -> None:
        """Move the cursor by screens."""
        self.action_cursor_by(pages * max(self.size.height - _HEADER_HEIGHT - 1, 1))

    def action_cursor_to(self, row: int) -> None:
        """Move the cursor to the first or the last row."""
        self.cursor = max(0, len(self.rows) - 1 if row < 0 else row)

    def action_select(self) -> None:
        """Choose the row under the cursor."""
        if self.current is not None:
            self.post_message(self.Selected(self, self.current))

    # Mouse

    def _row_at(self, y: int) -> int:
        number = y - _HEADER_HEIGHT + round(self.scroll_offset.y)
        return number if y >= _HEADER_HEIGHT and number < len(self.rows) else -1

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Light the row under the mouse."""
        offset = event.get_content_offset(self)
        self.hover_row = -1 if offset is None else self._row_at(offset.y)

    def on_leave(self) -> None:
        """Light no row."""
        self.hover_row = -1

    def on_click(self, event: events.Click) -> None:
        """Move the cursor; a click where it is already chooses."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < _HEADER_HEIGHT:
            key = self._column_at(offset.x)
            if key:
                self.post_message(self.HeaderClicked(self, key))
            return
        number = self._row_at(offset.y)
        if number < 0:
            return
        self.clicked(number, offset.x)

    def clicked(self, number: int, x: int) -> None:
        """React to a click on a row; ``x`` is in cells from the table's left."""
        if number == self.cursor:
            self.action_select()
        else:
            self.cursor = number

    def _column_at(self, x: int) -> str:
        left = 1
        for column, width in self._layout:
            if left <= x < left + width + _GAP:
                return column.key
            left += width + _GAP
        return ""


def lay_out(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """Return the columns that fit into a width, and how wide each is."""
    shown = list(columns)
    while len(shown) > 1 and _least(shown) > width:
        leaving = max(shown, key=lambda column: column.rank)
        if leaving.rank == 0:
            break
        shown.remove(leaving)
    widths = {column.key: column.width for column in shown}
    room = max(width - _least(shown), 0)
    growing = [column for column in shown if column.flex]
    while room > 0 and growing:
        total = sum(column.flex for column in growing)
        given = 0
        for column in tuple(growing):
            share = min(max(room * column.flex // total, 1), room - given)
            share = min(share, column.most - widths[column.key])
            widths[column.key] += share
            given += share
            if widths[column.key] >= column.most:
                growing.remove(column)
        if not given:
            break
        room -= given
    return [(column, widths[column.key]) for column in shown]


def _least(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)
