"""Browse: any image as a tree, mounted or not, with a look into its files."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from wimtui import messages
from wimtui.screens.base import InnerScreen
from wimtui.screens.extract import ExtractDialog
from wimtui.service.browse import PreviewKind
from wimtui.service.mounts import MountStatus
from wimtui.widgets.cells import Cell, plain, plain_text, size_text
from wimtui.widgets.column_table import ColumnTable
from wimtui.widgets.entry_facts import entry_facts
from wimtui.widgets.entry_tree import SORTS, EntryTree
from wimtui.widgets.fact_list import FactList
from wimtui.widgets.found_table import FoundTable
from wimtui.widgets.text_view import TextView

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.app import ComposeResult
    from textual.message import Message
    from textual.timer import Timer

    from wimtui.bridge import Bridge
    from wimtui.service.browse import ImageEntry, ImageSession, Preview
    from wimtui.service.mounts import MountSummary

_PAUSE_S = 0.06
"""The cursor has to rest this long before a file is read."""


class BrowseScreen(InnerScreen):
    """The files of an image."""

    AUTO_FOCUS: ClassVar[str | None] = "#tree"
    BINDINGS: ClassVar = [
        Binding("slash", "find", "Find", tooltip="Find names in the whole image",
                id="browse.find"),
        Binding("e", "extract", "Extract", tooltip="Write the file or folder to disk",
                id="browse.extract"),
        Binding("v", "view", "View", tooltip="Open the file in $PAGER", id="browse.view"),
        Binding("E", "edit", "Editor", tooltip="Edit in $EDITOR: in the mount, or a copy",
                show=False, id="browse.edit"),
        Binding("m", "mount", "Mount", tooltip="Mount this image", id="browse.mount"),
        Binding("s", "sort", "Sort", tooltip="Sort by the next column", id="browse.sort"),
        Binding("S", "reverse", "Reverse", tooltip="Sort the other way round", show=False,
                id="browse.reverse"),
        Binding("p", "panel", "Preview/facts", tooltip="Show the preview or the facts",
                id="browse.panel"),
        Binding("y", "copy_path", "Copy path", tooltip="Copy the path inside the image",
                show=False, id="browse.copy"),
    ]  # fmt: skip
    CHANGING: ClassVar[frozenset[str]] = frozenset({"mount", "extract"})

    def __init__(
        self,
        bridge: Bridge,
        path: str,
        image_index: int,
        references: tuple[str, ...],
        *,
        readonly: bool = False,
    ) -> None:
        super().__init__(bridge, f"{PurePath(path).name} [{image_index}]", readonly=readonly)
        self.path = path
        self.image_index = image_index
        self.references = references
        self.session: ImageSession | None = None
        self._shown = -1
        self._reading = -1
        self._timer: Timer | None = None
        self._search_timer: Timer | None = None

    def compose_content(self) -> ComposeResult:
        """The tree left, or what was found; preview and facts right or below."""
        with Horizontal(id="browse"):
            with Vertical(id="left"):
                tree = EntryTree(id="tree", hint="Reading the image…", classes="panel")
                tree.border_title = "Files"
                yield tree
                found = FoundTable(id="found", classes="panel")
                found.border_title = "Found"
                yield found
                yield Input(
                    placeholder="part of a name, *.glob, or folder/name", id="find", compact=True
                )
            with Vertical(id="right"):
                preview = TextView(id="preview", classes="panel")
                preview.border_title = "Preview"
                yield preview
                facts = FactList(id="entry-facts", classes="panel")
                facts.border_title = "Facts"
                yield facts

    def on_mount(self) -> None:
        """Read the image."""
        self.query_one(FoundTable).display = False
        self.query_one("#find").display = False
        self.query_one(EntryTree).set_sort("name")
        # What reads it would take turns with what draws the screen, and make that twice as long.
        self.call_after_refresh(self._open)

    def _open(self) -> None:
        self.bridge.images.open(self, self.path, str(self.image_index), self.references)

    def on_unmount(self) -> None:
        """Close the image."""
        if self.session is not None:
            self.bridge.images.close(self.session)

    def missed(self, message: Message) -> None:
        """Close an image that was opened too late."""
        if isinstance(message, messages.ImageOpened):
            self.bridge.images.close(message.session)

    # The image

    @on(messages.ImageOpened)
    def take_image(self, message: messages.ImageOpened) -> None:
        """Show the root."""
        message.stop()
        self.session = message.session
        tree = self.query_one(EntryTree)
        tree.set_root(message.root, message.children)
        tree.border_subtitle = f"{message.session.entry_count - 1:,} names"
        self.refresh_bindings()

    @on(messages.OperationFailed)
    def take_failure(self, message: messages.OperationFailed) -> None:
        """Say why the image cannot be shown; the app says it too."""
        if message.subject == self.path and self.session is None:
            self.query_one(EntryTree).show([], "This image cannot be shown. Escape goes back.")
            why = [Cell(plain(message.cause), "bad"), Cell(plain(message.hint))]
            self.query_one(TextView).show_sentences(why)

    @on(EntryTree.Wanted)
    def folder_wanted(self, message: EntryTree.Wanted) -> None:
        """Read a folder."""
        if self.session is not None:
            self.bridge.images.read_children(self, self.session, message.node.entry.dentry)

    @on(messages.ChildrenRead)
    def take_children(self, message: messages.ChildrenRead) -> None:
        """Open a folder."""
        self.query_one(EntryTree).add_children(message.dentry, message.children)

    @on(messages.PathRead)
    def take_path(self, message: messages.PathRead) -> None:
        """Go to a name."""
        self.query_one(EntryTree).reveal(message.levels, message.target)

    # What is under the cursor

    @property
    def entry(self) -> ImageEntry | None:
        """The name under the cursor, of the tree or of what was found."""
        found = self.query_one(FoundTable)
        if found.display:
            return None if found.current is None else found.current.entry
        node = self.query_one(EntryTree).current
        return None if node is None else node.entry

    @on(ColumnTable.Highlighted)
    def row_highlighted(self) -> None:
        """Read a file once the cursor rests on it."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_PAUSE_S, self._read)
        self.refresh_bindings()

    def _read(self) -> None:
        entry = self.entry
        if entry is None or self.session is None or entry.dentry == self._shown:
            return
        if self._reading >= 0:
            return
        self._reading = entry.dentry
        self.bridge.images.read_entry(self, self.session, entry.dentry)

    @on(messages.EntryRead)
    def take_entry(self, message: messages.EntryRead) -> None:
        """Show everything about a file."""
        self.query_one("#entry-facts", FactList).show(entry_facts(message.facts))
        self.query_one("#entry-facts", FactList).scroll_home(animate=False)

    @on(messages.PreviewRead)
    def take_preview(self, message: messages.PreviewRead) -> None:
        """Show the beginning of a file, and read the next if the cursor has gone on."""
        self._shown, self._reading = message.dentry, -1
        entry = self.entry
        view = self.query_one(TextView)
        if message.preview is None:
            view.border_title, view.border_subtitle = "Preview", ""
            view.show_sentences([Cell(plain(message.problem), "bad")])
        else:
            view.border_title, view.border_subtitle = _captions(message.preview)
            view.show(_lines(message.preview))
        if entry is not None and entry.dentry != message.dentry:
            self._read()

    # Find

    def action_find(self) -> None:
        """Begin to look for a name."""
        box = self.query_one("#find", Input)
        box.display = True
        box.focus()

    @on(Input.Changed, "#find")
    def find_changed(self) -> None:
        """Search once the typing rests."""
        if self._search_timer is not None:
            self._search_timer.stop()
        self._search_timer = self.set_timer(0.08, self._search)

    def _search(self) -> None:
        text = self.query_one("#find", Input).value.strip()
        if not text:
            self._show_found(visible=False)
        elif self.session is not None:
            self.bridge.images.search(self, self.session, text)

    @on(messages.SearchDone)
    def take_search(self, message: messages.SearchDone) -> None:
        """Show what was found, unless it is no longer wanted."""
        result = message.result
        if result.text != self.query_one("#find", Input).value.strip():
            return
        self._show_found(visible=True)
        found = self.query_one(FoundTable)
        found.show(list(result.found), "Nothing has such a name. Escape ends the search.")
        count = len(result.found)
        more = "more than " if result.is_cut else ""
        found.border_subtitle = f"{more}{count:,} found in {message.seconds * 1000:.0f} ms"

    def _show_found(self, *, visible: bool) -> None:
        self.query_one(FoundTable).display = visible
        self.query_one(EntryTree).display = not visible

    @on(Input.Submitted, "#find")
    def find_submitted(self) -> None:
        """Go to what was found."""
        found = self.query_one(FoundTable)
        if found.display and found.rows:
            found.focus()

    @on(ColumnTable.Selected, "#found")
    def found_chosen(self, message: ColumnTable.Selected) -> None:
        """Show a name in the tree."""
        self._end_find()
        if self.session is not None:
            self.bridge.images.read_path(self, self.session, message.row.entry.dentry)

    def _end_find(self) -> None:
        box = self.query_one("#find", Input)
        box.value = ""
        box.display = False
        self._show_found(visible=False)
        self.query_one(EntryTree).focus()

    def action_back(self) -> None:
        """End the search, or go back."""
        if self.query_one("#find").display:
            self._end_find()
        else:
            super().action_back()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what needs an image."""
        if super().check_action(action, parameters) is None:
            return None
        if action in ("find", "extract", "sort", "reverse", "copy_path") and self.session is None:
            return None
        if action in ("view", "edit"):
            entry = self.entry if self.session is not None else None
            is_file = entry is not None and not (entry.is_directory or entry.is_link)
            return True if is_file else None
        return True

    @on(ColumnTable.Selected, "#tree")
    def file_chosen(self) -> None:
        """Go into the preview."""
        self.remove_class("-facts")
        self.query_one(TextView).focus()

    def action_panel(self) -> None:
        """Show the other panel where there is room for one."""
        self.toggle_class("-facts")

    @on(ColumnTable.HeaderClicked)
    def header_clicked(self, message: ColumnTable.HeaderClicked) -> None:
        """Sort the tree by a column, or the other way round."""
        tree = self.query_one(EntryTree)
        if message.table is tree:
            reverse = message.key == tree.sort_key and not tree.sort_reverse
            tree.sort_by(message.key, reverse=reverse)

    def action_sort(self) -> None:
        """Sort by the next column."""
        keys = list(SORTS)
        tree = self.query_one(EntryTree)
        tree.sort_by(keys[(keys.index(tree.sort_key) + 1) % len(keys)], reverse=False)

    def action_reverse(self) -> None:
        """Sort the other way round."""
        tree = self.query_one(EntryTree)
        tree.sort_by(tree.sort_key, reverse=not tree.sort_reverse)

    def _current_path(self) -> str:
        found = self.query_one(FoundTable)
        if found.display and found.current is not None:
            return found.current.path
        names = []
        node = self.query_one(EntryTree).current
        while node is not None and node.parent is not None:
            names.append(node.entry.name)
            node = node.parent
        return "/" + "/".join(reversed(names))

    def action_copy_path(self) -> None:
        """Copy the path inside the image."""
        self.post_message(messages.CopyText(self._current_path(), "path"))

    def action_mount(self) -> None:
        """Mount the image."""
        self.post_message(messages.MountImage(self.path, self.image_index, self.references))

    def action_view(self) -> None:
        """Open the file in the user's pager."""
        self._open_outside(editor=False)

    def action_edit(self) -> None:
        """Open the file in the user's editor."""
        self._open_outside(editor=True)

    def _open_outside(self, *, editor: bool) -> None:
        entry, session = self.entry, self.session
        if entry is None or session is None or entry.is_directory:
            return
        # In a mount an editor could change something.
        point = "" if editor and self.readonly else self._mount_point()
        self.bridge.images.open_outside(session, entry, self._current_path(), point, editor=editor)

    def _mount_point(self) -> str:
        """Return where the image is mounted, empty for nowhere; the latest of several."""
        mounts: Sequence[MountSummary] = getattr(self.app, "mounts", ())
        own = (self.path, os.path.realpath(self.path))
        points = [
            mount.mount_point
            for mount in mounts
            if mount.alive
            and mount.status is MountStatus.OK
            and mount.wim_path in own
            and mount.image_index == self.image_index
        ]
        return points[-1] if points else ""

    def action_extract(self) -> None:
        """Ask where to, then extract."""
        entry, session = self.entry, self.session
        if entry is None or session is None:
            return
        path = self._current_path()

        def begin(folder: object) -> None:
            if isinstance(folder, str):
                self.bridge.images.extract(session, entry.dentry, path, folder)
                self.post_message(messages.ShowJobs())

        self.app.push_screen(ExtractDialog(self.bridge, path, entry), begin)


def _captions(preview: Preview) -> tuple[str, str]:
    title = {
        PreviewKind.TEXT: f"Text, {preview.encoding}",
        PreviewKind.HEX: "Hex",
        PreviewKind.LINK: "Link",
    }.get(preview.kind, "Preview")
    cut = f"first {size_text(preview.shown_nbytes)} of {size_text(preview.size)}"
    return title, cut if preview.is_cut else ""


def _lines(preview: Preview) -> Iterator[str | Cell]:
    if preview.kind in (PreviewKind.DIRECTORY, PreviewKind.EMPTY):
        first, *names = plain_text(preview.text).split("\n")
        yield Cell(first, "muted")
        yield from (Cell(name, "accent" if name.endswith("/") else "") for name in names)
    elif preview.kind is PreviewKind.LINK:
        yield Cell("→ " + plain(preview.text), "info")
    else:
        yield from plain_text(preview.text).split("\n")
