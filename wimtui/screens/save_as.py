"""The dialog that asks for the path of a new WIM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Grid, Horizontal, Vertical
from textual.widgets import Button, Input, Label, Static

from wimtui.screens.base import Dialog
from wimtui.widgets.path_suggester import PathSuggester

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wimtui.bridge import Bridge


class SaveAsDialog(Dialog):
    """Returns a path, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#save-path"

    def __init__(self, bridge: Bridge, proposal: str) -> None:
        super().__init__()
        self._bridge = bridge
        self._proposal = proposal

    def compose(self) -> ComposeResult:
        """A path and buttons."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Save as another WIM"
            yield Static(
                "The WIM is written anew to another file, with the changes. The WIM itself stays "
                "as it is, and the changes stay staged.",
                classes="note",
            )
            with Grid(classes="form"):
                yield Label("File")
                yield Input(
                    self._proposal, id="save-path", compact=True,
                    suggester=PathSuggester(self._bridge.places.list_wims),
                )  # fmt: skip
            yield Static("", id="outcome", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Save", id="save", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    @on(Button.Pressed, "#save")
    @on(Input.Submitted)
    def save(self) -> None:
        """Return the path, unless something is there."""
        typed = self.query_one("#save-path", Input).value.strip()
        if not typed:
            return
        path = Path(typed).expanduser().absolute()
        problem = "it exists" if path.exists() else ""
        if not path.parent.is_dir():
            problem = "its folder does not exist"
        if problem:
            outcome = self.query_one("#outcome", Static)
            outcome.update(f"{problem}: choose another path")
            outcome.set_class(True, "bad")
        else:
            self.dismiss(str(path))

    @on(Input.Changed)
    def changed(self) -> None:
        """Take back what was said of another path."""
        self.query_one("#outcome", Static).update("")

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Close."""
        self.action_close()
