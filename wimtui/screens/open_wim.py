"""The dialog that opens a WIM: by path with completion, or from the tree of folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, DirectoryTree, Input, Static

from wimtui.screens.base import Dialog
from wimtui.widgets.cells import plain
from wimtui.widgets.path_suggester import PathSuggester

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import ComposeResult

    from wimtui.bridge import Bridge

WIM_SUFFIXES = (".wim", ".swm", ".esd")


class WimTree(DirectoryTree):
    """Folders and WIMs, nothing else."""

    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "
    ICON_FILE = "  "

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """Leave out hidden folders and other files; called in a thread."""
        for path in paths:
            if path.name.startswith("."):
                continue
            try:
                if path.suffix.lower() in WIM_SUFFIXES or path.is_dir():
                    yield path
            except OSError:
                continue


class OpenDialog(Dialog):
    """Returns the path of a WIM, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#path"

    def __init__(self, bridge: Bridge, folder: str) -> None:
        super().__init__()
        self._bridge = bridge
        self._folder = folder

    def compose(self) -> ComposeResult:
        """A path, a tree, buttons."""
        with Vertical(classes="dialog tall") as dialog:
            dialog.border_title = "Open a WIM"
            yield Input(
                placeholder="path of a .wim, .swm or .esd; → completes", id="path", compact=True,
                suggester=PathSuggester(self._bridge.places.list_wims),
            )  # fmt: skip
            yield Static("", id="outcome", markup=False)
            tree = WimTree(self._folder, id="folders")
            tree.show_root = True
            tree.guide_depth = 2
            yield tree
            with Horizontal(classes="buttons"):
                yield Button("Open", id="open", variant="primary", compact=True)
                yield Button("Folder above", id="above", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    @on(DirectoryTree.FileSelected)
    def file_chosen(self, message: DirectoryTree.FileSelected) -> None:
        """Open a file of the tree."""
        self.dismiss(str(message.path.absolute()))

    @on(Input.Submitted)
    @on(Button.Pressed, "#open")
    def typed(self) -> None:
        """Open what was typed; for a folder show it."""
        text = self.query_one("#path", Input).value.strip().strip("'\"")
        if not text:
            self.query_one(WimTree).focus()
            return
        path = Path(text).expanduser().absolute()
        if path.is_dir():
            self.query_one(WimTree).path = path
            self.query_one(WimTree).focus()
        elif path.exists():
            self.dismiss(str(path))
        else:
            outcome = self.query_one("#outcome", Static)
            outcome.update(f"{plain(str(path))}: no such file")
            outcome.set_class(True, "bad")

    @on(Input.Changed)
    def changed(self) -> None:
        """Take back what was said of another path."""
        self.query_one("#outcome", Static).update("")

    @on(Button.Pressed, "#above")
    def above(self) -> None:
        """Show the folder above."""
        tree = self.query_one(WimTree)
        tree.path = Path(tree.path).absolute().parent
        tree.focus()

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Close."""
        self.action_close()
