"""The dialog that asks where to export staged changes to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Grid, Horizontal, Vertical
from textual.widgets import Button, Input, Label, Static

from wimtui.screens.base import Dialog
from wimtui.widgets.cells import plain
from wimtui.widgets.path_suggester import PathSuggester

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wimtui.bridge import Bridge


class ExportDialog(Dialog):
    """Returns the path of the folder or archive to make, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#output"

    def __init__(self, bridge: Bridge, path: str, what: str) -> None:
        """Ask about the changes below a path; ``what`` says how many."""
        super().__init__()
        self._bridge = bridge
        self._path = path
        self._what = what

    def compose(self) -> ComposeResult:
        """What, where to, and buttons."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Export changes"
            with Grid(classes="form"):
                yield Label("From")
                yield Static(plain(self._path), markup=False)
                yield Label("")
                yield Static(self._what, markup=False, classes="note")
                yield Label("To")
                yield Input(
                    str(Path.cwd() / "changes.tar.gz"), id="output", compact=True,
                    suggester=PathSuggester(self._bridge.places.list_folders),
                )  # fmt: skip
            yield Static(
                "A name with .tar, .tar.gz, .tar.xz or .tar.bz2 makes an archive, any other a"
                " folder. Added and changed files are in it; .wimtui-changes lists everything,"
                " deletions too. Nothing is overwritten.",
                classes="note",
            )
            with Horizontal(classes="buttons"):
                yield Button("Export", id="export", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    @on(Button.Pressed, "#export")
    @on(Input.Submitted)
    def export(self) -> None:
        """Return the path."""
        typed = self.query_one("#output", Input).value.strip()
        if typed:
            self.dismiss(str(Path(typed).expanduser().absolute()))

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Close."""
        self.action_close()
