"""Labels and values in two columns, to be scrolled where they are many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from wimtui.widgets.cells import Cell, plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import ClassVar

    from textual.app import ComposeResult

Fact = tuple[str, "str | Cell"]


class FactList(VerticalScroll):
    """Facts about one thing. An empty label continues a value; an empty value makes a heading."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "facts--label", "facts--heading",
        "tone--muted", "tone--strong", "tone--accent", "tone--good", "tone--warn", "tone--bad",
        "tone--info",
    }  # fmt: skip

    BINDINGS = [("j", "scroll_down"), ("k", "scroll_up")]  # noqa: RUF012 - Textual's own form

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._facts: list[Fact] = []

    def compose(self) -> ComposeResult:
        """One static text."""
        yield Static(id="facts")

    def on_mount(self) -> None:
        """Draw again in the colours of another theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())

    def show(self, facts: Iterable[Fact]) -> None:
        """Show other facts."""
        fresh = list(facts)
        if fresh != self._facts:
            self._facts = fresh
            self._draw()

    def _draw(self) -> None:
        label_style = self.get_component_rich_style("facts--label", partial=True)
        heading_style = self.get_component_rich_style("facts--heading", partial=True)
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, overflow="fold")
        for label, value in self._facts:
            text, tone = (value, "") if isinstance(value, str) else (value.text, value.tone)
            if not text:
                grid.add_row(Text(label, style=heading_style), Text())
                continue
            style = self.get_component_rich_style(f"tone--{tone}", partial=True) if tone else ""
            grid.add_row(Text(label, style=label_style), Text(plain(text), style=style))
        self.query_one("#facts", Static).update(grid)
