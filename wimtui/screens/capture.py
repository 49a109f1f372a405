"""The dialog that captures a folder as an image, in a WIM or in one that it makes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Grid, Horizontal, Vertical
from textual.widgets import Button, Input, Label, Select, Static

from wimtui import messages
from wimtui.screens.base import Dialog
from wimtui.service.editing import ImageProperties
from wimtui.widgets.cells import plain
from wimtui.widgets.check import Check
from wimtui.widgets.path_suggester import PathSuggester

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult
    from textual.screen import Screen

    from wimtui.bridge import Bridge

_COMPRESSIONS = (
    ("as the WIM is; LZX in one that is made", ""), ("none", "none"), ("XPRESS", "XPRESS"),
    ("LZX", "LZX"), ("LZMS", "LZMS"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Capturing:
    """What to capture, and where to."""

    folder: str
    wim: str
    name: str
    """Empty for the folder's."""
    compress: str | None
    boot: bool

    def command(self) -> str:
        """Return the command line that does the same."""
        flags = ["--boot"] if self.boot else []
        if self.name:
            flags.append(f"--name={self.name}")
        if self.compress:
            flags.append(f"--compress={self.compress}")
        words = ["wimtui", "capture", *flags, self.folder or "DIR", self.wim or "WIM"]
        return shlex.join(words)


class CaptureDialog(Dialog):
    """Returns a Capturing, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#folder"
    BINDINGS: ClassVar = [
        Binding("ctrl+s", "capture", "Capture", tooltip="Capture the folder", priority=True),
        Binding("ctrl+y", "copy", "Copy command", tooltip="Copy the equivalent command",
                priority=True),
    ]  # fmt: skip

    def __init__(self, bridge: Bridge, wim: str, taken: Mapping[str, int] | None = None) -> None:
        """Ask what to capture.

        Args:
            bridge: The way to the services.
            wim: The WIM to propose; empty for none.
            taken: Names of its images, with their numbers.
        """
        super().__init__()
        self._bridge = bridge
        self._wim = wim
        self._taken = dict(taken or {})

    def compose(self) -> ComposeResult:
        """Fields, the command and the buttons."""
        places = self._bridge.places
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Capture a folder as an image"
            with Grid(classes="form"):
                yield Label("Folder")
                yield Input(id="folder", compact=True, placeholder="what the image is made of",
                            suggester=PathSuggester(places.list_folders))  # fmt: skip
                yield Label("Into WIM")
                yield Input(
                    self._wim, id="wim", compact=True, placeholder="it is made if there is none",
                    suggester=PathSuggester(places.list_wims),
                )  # fmt: skip
                yield Label("Image name")
                yield Input(id="name", compact=True, placeholder="the folder's")
                yield Label("Compression")
                yield Select(_COMPRESSIONS, id="compress", compact=True, allow_blank=False)
                yield Label("")
                yield Check("make it the boot image", id="boot", compact=True)
            yield Static("", id="command", markup=False)
            yield Static("", id="outcome", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Capture", id="go", variant="primary", compact=True)
                yield Button("Copy command", id="copy", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Show the command."""
        self.query_one("#command").border_title = "The same from a shell"
        self.changed()

    def capturing(self) -> Capturing:
        """Return what is typed."""
        folder, wim, name = (
            self.query_one(f"#{one}", Input).value.strip() for one in ("folder", "wim", "name")
        )
        compress = self.query_one("#compress", Select).value
        return Capturing(
            str(Path(folder).expanduser().absolute()) if folder else "",
            str(Path(wim).expanduser().absolute()) if wim else "",
            name,
            str(compress) if compress else None,
            self.query_one("#boot", Check).value,
        )

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Check.Changed)
    def changed(self) -> None:
        """Show what follows, and take back what was said of something else."""
        self.query_one("#command", Static).update(plain(self.capturing().command()))
        self.query_one("#outcome", Static).update("")

    @on(Button.Pressed, "#go")
    @on(Input.Submitted)
    def action_capture(self) -> None:
        """Return what is typed, unless something is missing."""
        asked = self.capturing()
        problem = _problem(asked)
        if not problem and asked.wim == self._wim and asked.name in self._taken:
            problem = f"image {self._taken[asked.name]} has that name"
        if problem:
            outcome = self.query_one("#outcome", Static)
            outcome.update(f"✗ {plain(problem)}")
            outcome.set_class(True, "bad")
        else:
            self.dismiss(asked)

    @on(Button.Pressed, "#copy")
    def action_copy(self) -> None:
        """Copy the command."""
        self.post_message(messages.CopyText(self.capturing().command(), "command"))

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Close."""
        self.action_close()


def _problem(asked: Capturing) -> str:
    if not asked.folder:
        return "say which folder to capture"
    if not Path(asked.folder).is_dir():
        return f"{asked.folder} is no folder"
    if not asked.wim:
        return "say into which WIM"
    if Path(asked.wim).is_dir():
        return f"{asked.wim} is a folder: name a file"
    if not Path(asked.wim).parent.is_dir():
        return f"{Path(asked.wim).parent} does not exist"
    return ""


def begin_capture(screen: Screen[None], bridge: Bridge, asked: Capturing) -> None:
    """Begin to capture for a screen, and show how far it is."""
    properties = ImageProperties(name=asked.name or None, boot=True if asked.boot else None)
    bridge.edits.capture(screen, asked.folder, asked.wim, properties, asked.compress)
    screen.post_message(messages.ShowJobs())
