"""The settings dialog; what it shows is tried at once and kept when saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Grid, Horizontal, Vertical
from textual.widgets import Button, Label, Select, Static

from wimtui.screens.base import Dialog
from wimtui.screens.mount import STREAMS
from wimtui.widgets.check import Check

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wimtui.settings import Settings

_FIRST_THEMES = ("wimtui-dark", "wimtui-light", "wimtui-contrast")


class SettingsDialog(Dialog):
    """Returns the settings to keep, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#theme"
    BINDINGS: ClassVar = [Binding("ctrl+s", "save", "Save", priority=True)]

    def __init__(self, settings: Settings, path: str) -> None:
        super().__init__()
        self._settings = settings
        self._path = path

    def compose(self) -> ComposeResult:
        """One field a setting."""
        known = self._settings
        others = sorted(set(self.app.available_themes) - set(_FIRST_THEMES))
        themes = [(name, name) for name in (*_FIRST_THEMES, *others)]
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Settings"
            with Grid(classes="form"):
                yield Label("Theme")
                yield Select(themes, id="theme", compact=True, allow_blank=False,
                             value=self.app.theme)  # fmt: skip
                yield Label("")
                yield Static("The mount dialog begins with", classes="note")
                yield Label("Streams")
                yield Select(STREAMS, id="streams", compact=True, allow_blank=False,
                             value=known.streams)  # fmt: skip
                yield Label("")
                yield Check("check integrity first", known.check, id="check", compact=True)
                yield Label("")
                yield Check("ignore case of names", known.ignore_case, id="ignore_case",
                               compact=True)  # fmt: skip
                yield Label("")
                yield Check("let other users in", known.allow_other, id="allow_other",
                               compact=True)  # fmt: skip
                yield Label("File")
                yield Static(self._path, markup=False, classes="note")
            with Horizontal(classes="buttons"):
                yield Button("Save", id="save", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    @on(Select.Changed, "#theme")
    def theme_chosen(self, event: Select.Changed) -> None:
        """Try a theme."""
        self.app.theme = str(event.value)

    @on(Button.Pressed, "#save")
    def action_save(self) -> None:
        """Return what is chosen."""
        boxes = {box.id or "": box.value for box in self.query(Check)}
        self.dismiss(
            self._settings.changed(
                theme=self.app.theme, streams=str(self.query_one("#streams", Select).value), **boxes
            )
        )

    @on(Button.Pressed, "#cancel")
    def action_close(self) -> None:
        """Go back to the theme before."""
        self.app.theme = self._settings.theme
        self.dismiss(None)
