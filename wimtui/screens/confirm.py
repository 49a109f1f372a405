"""A question before something is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from wimtui.screens.base import Dialog
from wimtui.widgets.cells import plain_text

if TYPE_CHECKING:
    from textual.app import ComposeResult


class ConfirmDialog(Dialog):
    """Returns True if the user agrees, and None or False otherwise."""

    AUTO_FOCUS: ClassVar[str | None] = "#no"
    BINDINGS: ClassVar = [
        Binding("y", "agree", "Yes", show=False),
        Binding("n", "close", "No", show=False),
    ]

    def __init__(self, title: str, question: str, *, verb: str) -> None:
        super().__init__()
        self._title = title
        self._question = question
        self._verb = verb

    def compose(self) -> ComposeResult:
        """The question, and the answers with the safe one in focus."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            yield Static(plain_text(self._question), markup=False)
            with Horizontal(classes="buttons"):
                yield Button(self._verb, id="yes", variant="error", compact=True)
                yield Button("Cancel", id="no", compact=True)

    @on(Button.Pressed, "#yes")
    def action_agree(self) -> None:
        """Go on."""
        self.dismiss(True)

    @on(Button.Pressed, "#no")
    def refused(self) -> None:
        """Do not."""
        self.action_close()
