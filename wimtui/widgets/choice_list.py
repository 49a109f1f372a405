"""A list of ways of which the one under the cursor is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.widgets import OptionList
from textual.widgets.option_list import Option

if TYPE_CHECKING:
    from collections.abc import Sequence


class ChoiceList(OptionList):
    """Labels by keys; moving the cursor chooses, enter takes it."""

    BINDINGS: ClassVar = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
    ]

    def offer(self, choices: Sequence[tuple[str, str]]) -> None:
        """Show other choices, as (key, label); the chosen one stays chosen."""
        if [(option.id, option.prompt) for option in self.options] == list(choices):
            return
        before = self.chosen
        self.clear_options()
        self.add_options([Option(label, id=key) for key, label in choices])
        keys = [key for key, _ in choices]
        self.highlighted = keys.index(before) if before in keys else 0

    def choose(self, key: str) -> None:
        """Put the cursor on a choice, if it is offered."""
        keys = [option.id for option in self.options]
        if key in keys:
            self.highlighted = keys.index(key)

    @property
    def chosen(self) -> str:
        """The key under the cursor."""
        if self.highlighted is None:
            return ""
        return self.get_option_at_index(self.highlighted).id or ""
