"""A question before something is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Static

from wimtui.screens.base import Dialog
from wimtui.widgets.cells import plain, plain_text

if TYPE_CHECKING:
    from textual.app import ComposeResult


class ConfirmDialog(Dialog):
    """Returns True if the user agrees, and None or False otherwise."""

    AUTO_FOCUS: ClassVar[str | None] = "#no"
    BINDINGS: ClassVar = [
        Binding("y", "agree", "Yes", show=False),
        Binding("n", "close", "No", show=False),
    ]

    def __init__(self, title: str, question: str, *, verb: str, typed: str = "") -> None:
        """Ask.

        Args:
            title: What it is about.
            question: What is lost.
            verb: For the button that agrees.
            typed: What has to be typed before one can agree; empty for nothing.
        """
        super().__init__()
        self._title = title
        self._question = question
        self._verb = verb
        self._typed = typed

    def compose(self) -> ComposeResult:
        """The question, and the answers with the safe one in focus."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            yield Static(plain_text(self._question), markup=False)
            if self._typed:
                hint = f"type {plain(self._typed)} to go on"
                yield Input(id="confirm", compact=True, placeholder=hint)
            with Horizontal(classes="buttons"):
                yield Button(
                    self._verb, id="yes", variant="error", compact=True, disabled=bool(self._typed)
                )
                yield Button("Cancel", id="no", compact=True)

    def on_mount(self) -> None:
        """Begin where something has to be typed."""
        if self._typed:
            self.query_one(Input).focus()

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Let the user agree once the name is right."""
        self.query_one("#yes", Button).disabled = event.value.strip() != self._typed

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def action_agree(self) -> None:
        """Go on."""
        if not self.query_one("#yes", Button).disabled:
            self.dismiss(True)

    @on(Button.Pressed, "#no")
    def refused(self) -> None:
        """Do not."""
        self.action_close()
