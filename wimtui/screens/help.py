"""Help: every key of the screen and of what is in it, made from the bindings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from wimtui.screens.base import Dialog
from wimtui.widgets.key_table import KeyRow, KeyTable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import App, ComposeResult
    from textual.binding import ActiveBinding
    from textual.screen import Screen


_NO_USE = frozenset({"scroll_left", "scroll_right", "page_left", "page_right"})
"""What Textual binds in every list, and lists here do not do."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Where a binding comes from, and how groups are ordered."""

    order: int
    name: str


def key_rows(app: App[Any], bindings: Iterable[ActiveBinding], screen: Screen[Any]) -> list[
    KeyRow
]:  # fmt: skip
    """Return one row an action: its keys, what it does, and where it belongs."""
    groups: dict[tuple[int, str, str], list[str]] = {}
    texts: dict[tuple[int, str, str], tuple[str, str, str]] = {}
    for active in bindings:
        binding = active.binding
        if binding.system or not binding.description or binding.action in _NO_USE:
            continue
        group = _group(app, active, screen)
        name = (group.order, group.name, binding.action)
        groups.setdefault(name, []).append(app.get_key_display(binding))
        text = binding.tooltip or active.tooltip or binding.description
        texts[name] = (binding.description, text, binding.id or "")
    rows = []
    for name in sorted(groups, key=lambda one: one[0]):
        description, text, binding_id = texts[name]
        keys = " ".join(dict.fromkeys(groups[name]))
        rows.append(KeyRow(name[1], keys, description, text, binding_id))
    return rows


def _group(app: App[Any], active: ActiveBinding, screen: Screen[Any]) -> _Group:
    if active.node is screen and active.binding.tooltip:
        return _Group(0, "Screen")
    if active.node in (app, screen):
        return _Group(2, "Everywhere")
    return _Group(1, "In the list")


class HelpDialog(Dialog):
    """Keys, to be filtered by typing; Enter does what the key would."""

    AUTO_FOCUS: ClassVar[str | None] = "#help-filter"
    BINDINGS: ClassVar = [
        Binding("down", "down", show=False, system=True),
        Binding("up", "up", show=False, system=True),
    ]

    def __init__(self, rows: list[KeyRow]) -> None:
        super().__init__()
        self._rows = rows

    def compose(self) -> ComposeResult:
        """A filter and the keys."""
        with Vertical(classes="dialog wide tall") as dialog:
            dialog.border_title = "Keys"
            dialog.border_subtitle = "type to filter · esc closes"
            yield Input(placeholder="filter", id="help-filter", compact=True)
            yield KeyTable(id="keys", hint="No key does that.")

    def on_mount(self) -> None:
        """Show all."""
        self.query_one(KeyTable).show(self._rows)

    @on(Input.Changed)
    def filtered(self, event: Input.Changed) -> None:
        """Show what matches."""
        words = event.value.casefold().split()
        rows = [row for row in self._rows if all(word in row.text() for word in words)]
        self.query_one(KeyTable).show(rows)

    def action_down(self) -> None:
        """Move in the list while the filter has the focus."""
        self.query_one(KeyTable).action_cursor_by(1)

    def action_up(self) -> None:
        """Move in the list while the filter has the focus."""
        self.query_one(KeyTable).action_cursor_by(-1)
