"""The dialog that asks where to extract to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Grid, Horizontal, Vertical
from textual.widgets import Button, Input, Label, Static

from wimtui.screens.base import Dialog
from wimtui.widgets.cells import exact_size_text, plain
from wimtui.widgets.path_suggester import PathSuggester

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.browse import ImageEntry


class ExtractDialog(Dialog):
    """Returns the folder to write to, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#folder"

    def __init__(self, bridge: Bridge, path: str, entry: ImageEntry) -> None:
        super().__init__()
        self._bridge = bridge
        self._path = path
        self._entry = entry

    def compose(self) -> ComposeResult:
        """What, where to, and buttons."""
        entry = self._entry
        what = "a folder with all in it" if entry.is_directory else exact_size_text(entry.size)
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Extract"
            with Grid(classes="form"):
                yield Label("From")
                yield Static(plain(self._path), markup=False)
                yield Label("")
                yield Static(what, markup=False, classes="note")
                yield Label("Into folder")
                yield Input(
                    str(Path.cwd()), id="folder", compact=True,
                    suggester=PathSuggester(self._bridge.places.list_folders),
                )  # fmt: skip
            yield Static(
                "It gets its own name there once it is whole; nothing is overwritten.",
                classes="note",
            )
            with Horizontal(classes="buttons"):
                yield Button("Extract", id="extract", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    @on(Button.Pressed, "#extract")
    @on(Input.Submitted)
    def extract(self) -> None:
        """Return the folder."""
        typed = self.query_one("#folder", Input).value.strip()
        if typed:
            self.dismiss(str(Path(typed).expanduser().absolute()))

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Close."""
        self.action_close()
