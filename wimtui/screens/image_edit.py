"""The dialogs that change a WIM: what an image is called, an image deleted, the file rebuilt."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Grid, Horizontal, Vertical
from textual.widgets import Button, Input, Label, Static

from wimtui import messages, upkeep_messages
from wimtui.screens.base import Dialog
from wimtui.service.editing import ImageProperties
from wimtui.widgets.cells import count_text, exact_size_text, plain
from wimtui.widgets.check import Check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.space import SpaceFacts
    from wimtui.widgets.image_table import ImageRow

_FIELDS = {
    "name": "Name",
    "description": "Description",
    "DISPLAYNAME": "Display name",
    "DISPLAYDESCRIPTION": "Display text",
    "FLAGS": "Flags",
}
"""Fields of the dialog by id: ours in small letters, elements of the XML data in capitals."""


class EditImageDialog(Dialog):
    """Returns ImageProperties with what was changed, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#name"
    BINDINGS: ClassVar = [Binding("ctrl+s", "save", "Save", priority=True)]

    def __init__(self, row: ImageRow, taken: Mapping[str, int]) -> None:
        """Ask about an image.

        Args:
            row: The image.
            taken: Names of the WIM's images, with their numbers.
        """
        super().__init__()
        self._row = row
        info = row.info
        self._taken = {name: index for name, index in taken.items() if index != info.index}
        self._before = {
            "name": info.name,
            "description": info.description,
            "DISPLAYNAME": info.display_name or "",
            "DISPLAYDESCRIPTION": info.display_description or "",
            "FLAGS": info.flags or "",
        }

    def compose(self) -> ComposeResult:
        """One field a property."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = f"Image {self._row.info.index}"
            with Grid(classes="form"):
                for key, label in _FIELDS.items():
                    yield Label(label)
                    yield Input(plain(self._before[key]), id=key, compact=True)
                yield Label("Others")
                yield Input(
                    id="others", compact=True,
                    placeholder="WINDOWS/EDITIONID=Professional; an empty value removes",
                )  # fmt: skip
                yield Label("")
                yield Check("the WIM's boot image", self._row.is_boot, id="boot", compact=True)
            yield Static("", id="outcome", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Save", id="save", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def properties(self) -> ImageProperties | None:
        """Return what differs, or None where a property makes no sense."""
        typed = {key: self.query_one(f"#{key}", Input).value for key in _FIELDS}
        changed = {key: text for key, text in typed.items() if text != plain(self._before[key])}
        others = {key: text for key, text in changed.items() if key.isupper()}
        try:
            words = shlex.split(self.query_one("#others", Input).value)
        except ValueError:
            return None
        for word in words:
            key, equals, value = word.partition("=")
            if not key or not equals:
                return None
            others[key] = value
        is_boot = self.query_one("#boot", Check).value
        return ImageProperties(
            changed.get("name"),
            changed.get("description"),
            None if is_boot == self._row.is_boot else is_boot,
            others,
        )

    def _problem(self) -> str:
        """Return what is wrong with the name; empty for nothing."""
        name = self.query_one("#name", Input).value
        index = 0 if name == plain(self._before["name"]) else self._taken.get(name, 0)
        return f"image {index} has that name" if index else ""

    @on(Input.Changed, "#name")
    def name_changed(self) -> None:
        """Say at once where the name is taken."""
        problem = self._problem()
        button = self.query_one("#save", Button)
        if problem or button.disabled:
            self._say(problem)
        button.disabled = bool(problem)

    def _say(self, problem: str) -> None:
        outcome = self.query_one("#outcome", Static)
        outcome.update(f"✗ {problem}" if problem else "")
        outcome.set_class(bool(problem), "bad")

    @on(Button.Pressed, "#save")
    @on(Input.Submitted)
    def action_save(self) -> None:
        """Return what was changed."""
        if problem := self._problem():
            self._say(problem)
            self.query_one("#name").focus()
            return
        properties = self.properties()
        if properties is not None:
            self.dismiss(properties)
        else:
            self._say("others: NAME=VALUE, quoted where a value has spaces")

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Leave the image as it is."""
        self.action_close()


@dataclass(frozen=True, slots=True)
class Deletion:
    """How to delete an image."""

    soft: bool
    """Leave its bytes in the file."""


class DeleteImageDialog(Dialog):
    """Says what goes with an image; returns a Deletion, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#no"
    BINDINGS: ClassVar = [
        Binding("y", "agree", "Delete", show=False),
        Binding("n", "close", "No", show=False),
    ]

    def __init__(self, bridge: Bridge, path: str, row: ImageRow, *, image_count: int) -> None:
        super().__init__()
        self._bridge = bridge
        self._path = path
        self._row = row
        self._image_count = image_count

    def compose(self) -> ComposeResult:
        """What is lost, and the answers with the safe one in focus."""
        info = self._row.info
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Delete the image?"
            yield Static(
                f"{info.index}  {plain(info.name) or '(unnamed)'}", markup=False, classes="strong"
            )
            yield Static(plain(self._path), markup=False, classes="note")
            yield Static("counting what goes with it…", id="loss", markup=False)
            yield Check("leave its bytes in the file (faster; Optimise gives them back)",
                        id="soft", compact=True)  # fmt: skip
            with Horizontal(classes="buttons"):
                yield Button("Delete", id="yes", variant="error", compact=True)
                yield Button("Cancel", id="no", compact=True)

    def on_mount(self) -> None:
        """Count."""
        self._bridge.edits.count_loss(self, self._path, self._row.info.index)

    @on(upkeep_messages.LossCounted)
    def take_loss(self, message: upkeep_messages.LossCounted) -> None:
        """Say what goes."""
        message.stop()
        loss = message.loss
        lines = [
            f"{count_text(loss.file_count, 'file')} and "
            f"{count_text(loss.directory_count, 'folder')} of this image are gone for good.",
            f"{count_text(loss.blob_count, 'blob')} that no other image uses, "
            f"{exact_size_text(loss.stored_nbytes)}.",
        ]
        if loss.is_boot:
            lines.append("It is the boot image: none will be.")
        index = self._row.info.index
        if index < self._image_count:
            lines.append(f"Images after it move up: what was {index + 1} will be {index}.")
        self.query_one("#loss", Static).update("\n".join(lines))

    @on(messages.OperationFailed)
    def failed(self, message: messages.OperationFailed) -> None:
        """Say that nobody knows."""
        message.stop()
        self.query_one("#loss", Static).update(plain(message.cause))

    @on(Button.Pressed, "#yes")
    def action_agree(self) -> None:
        """Delete it."""
        self.dismiss(Deletion(self.query_one("#soft", Check).value))

    @on(Button.Pressed, "#no")
    def refused(self) -> None:
        """Do not."""
        self.action_close()


@dataclass(frozen=True, slots=True)
class Optimisation:
    """How to rebuild a WIM."""

    recompress: bool


class OptimizeDialog(Dialog):
    """Says what a rebuild gives back; returns an Optimisation, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#yes"

    def __init__(self, path: str, space: SpaceFacts | None) -> None:
        super().__init__()
        self._path = path
        self._space = space

    def compose(self) -> ComposeResult:
        """Sizes, and how."""
        space = self._space
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Optimise"
            yield Static(plain(self._path), markup=False, classes="strong")
            if space is not None:
                with Grid(classes="form"):
                    yield Label("Size")
                    yield Static(exact_size_text(space.file_size), markup=False)
                    yield Label("Reclaimable")
                    yield Static(exact_size_text(space.reclaimable), markup=False)
            yield Static(
                "The file is written anew beside the old one and takes its place once it is "
                "whole. What is mounted read-only goes on with the old one.",
                classes="note",
            )
            yield Check("compress everything again", id="recompress", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Optimise", id="yes", variant="primary", compact=True)
                yield Button("Cancel", id="no", compact=True)

    @on(Button.Pressed, "#yes")
    def agreed(self) -> None:
        """Do it."""
        self.dismiss(Optimisation(self.query_one("#recompress", Check).value))

    @on(Button.Pressed, "#no")
    def refused(self) -> None:
        """Do not."""
        self.action_close()
