"""One WIM: what its header says, its images, and everything about the one under the cursor."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.markup import escape
from textual.widgets import Input

from wimtui import messages, upkeep_messages
from wimtui.screens.base import InnerScreen
from wimtui.screens.capture import CaptureDialog, Capturing, begin_capture
from wimtui.screens.image_edit import (
    DeleteImageDialog,
    Deletion,
    EditImageDialog,
    Optimisation,
    OptimizeDialog,
)
from wimtui.service.archives import SplitSet
from wimtui.service.editing import ImageProperties
from wimtui.widgets.cells import Cell, plain
from wimtui.widgets.column_table import ColumnTable
from wimtui.widgets.fact_list import FactList
from wimtui.widgets.image_table import (
    SORTS,
    ImageRow,
    ImageTable,
    archive_facts,
    image_facts,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.archives import ArchiveFacts
    from wimtui.service.mounts import MountSummary
    from wimtui.service.space import SpaceFacts


class ArchiveScreen(InnerScreen):
    """A WIM and its images."""

    AUTO_FOCUS: ClassVar[str | None] = "#images"
    BINDINGS: ClassVar = [
        Binding("m", "mount", "Mount", tooltip="Mount the image", id="wim.mount"),
        Binding("b", "browse", "Browse", tooltip="Look into the image", id="wim.browse"),
        Binding("v", "verify", "Verify", tooltip="Read and check every blob", id="wim.verify"),
        Binding("slash", "filter", "Filter", tooltip="Show only some images", id="wim.filter"),
        Binding("s", "sort", "Sort", tooltip="Sort by the next column", id="wim.sort"),
        Binding("S", "reverse", "Reverse", tooltip="Sort the other way round", show=False,
                id="wim.reverse"),
        Binding("e", "edit", "Edit", tooltip="Rename or describe the image", id="wim.edit"),
        Binding("x,delete", "delete", "Delete", tooltip="Delete the image", id="wim.delete"),
        Binding("B", "boot", "Boot image", tooltip="Make it the boot image, or no longer",
                show=False, id="wim.boot"),
        Binding("O", "optimize", "Optimise", tooltip="Write the WIM anew without dead bytes",
                show=False, id="wim.optimize"),
        Binding("a", "capture", "Add image", tooltip="Capture a folder as another image",
                show=False, id="wim.capture"),
        Binding("y", "copy_path", "Copy path", tooltip="Copy the WIM's path", show=False,
                id="wim.copy"),
        Binding("o", "app.open_wim", "Open WIM", tooltip="Open another WIM", show=False,
                id="open"),
        Binding("r", "refresh", "Refresh", tooltip="Read the WIM again", show=False,
                id="wim.refresh"),
    ]  # fmt: skip
    CHANGING: ClassVar[frozenset[str]] = frozenset(
        {"mount", "edit", "delete", "boot", "optimize", "capture"}
    )

    def __init__(self, bridge: Bridge, path: str, *, readonly: bool = False) -> None:
        super().__init__(bridge, PurePath(path).name, readonly=readonly)
        self.path = path
        self.facts: ArchiveFacts | None = None
        self.parts = SplitSet(path)
        self._mounts: Sequence[MountSummary] = ()
        self._space: SpaceFacts | None = None
        self._sort, self._reverse = "index", False

    def compose_content(self) -> ComposeResult:
        """Header and images left, the image's facts right or below."""
        with Horizontal(id="archive"):
            with Vertical(id="left"):
                header = FactList(id="header-facts", classes="panel")
                header.border_title = "WIM"
                yield header
                images = ImageTable(id="images", hint="Reading…", classes="panel")
                images.border_title = "Images"
                yield images
                yield Input(
                    placeholder="part of a name, edition, version, language…", id="filter",
                    compact=True,
                )  # fmt: skip
            details = FactList(id="image-facts", classes="panel")
            details.border_title = "Image"
            yield details

    def on_mount(self) -> None:
        """Read the WIM."""
        self.query_one("#filter").display = False
        self._mounts = getattr(self.app, "mounts", ())
        self.query_one(ImageTable).set_sort(self._sort)
        self.bridge.archives.open(self, self.path)

    # Data

    @on(messages.ArchiveOpened)
    def take_facts(self, message: messages.ArchiveOpened) -> None:
        """Show what the WIM says of itself."""
        message.stop()
        self.facts, self.parts = message.facts, message.parts
        self.query_one("#header-facts").border_title = "WIM"
        self._show_header()
        self.bridge.edits.read_space(self, self.path)
        count = message.facts.image_count
        self.query_one(ImageTable).border_subtitle = "1 image" if count == 1 else f"{count} images"
        self._show_images()
        self.refresh_bindings()

    @on(upkeep_messages.SpaceRead)
    def take_space(self, message: upkeep_messages.SpaceRead) -> None:
        """Show how much of the file is in use."""
        message.stop()
        self._space = message.space
        self._show_header()

    def _show_header(self) -> None:
        if self.facts is not None:
            header = self.query_one("#header-facts", FactList)
            header.show(archive_facts(self.facts, self._space, self.parts))

    @on(upkeep_messages.WimWritten)
    def wim_written(self, message: upkeep_messages.WimWritten) -> None:
        """Read the WIM again."""
        message.stop()
        self.action_refresh()

    def on_screen_resume(self) -> None:
        """Look again after another screen was on top: it may have been written."""
        if self.facts is not None:
            self.action_refresh()

    @on(messages.OperationFailed)
    def take_failure(self, message: messages.OperationFailed) -> None:
        """Say why the WIM cannot be shown; the app says it too."""
        if message.subject != self.path:
            return
        if self.facts is not None:
            # What was read last stays; the next look may well succeed.
            title = f"WIM (as of before: {plain(message.cause)})"
            self.query_one("#header-facts").border_title = escape(title)
            return
        facts = [("Path", Cell(plain(self.path), "strong")), ("Problem", Cell(plain(message.cause),
                 "bad"))]  # fmt: skip
        if message.hint:
            facts.append(("What to do", Cell(plain(message.hint))))
        self.query_one("#header-facts", FactList).show(facts)
        self.query_one(ImageTable).show([], "This file cannot be shown. Escape goes back.")

    def show_mounts(self, mounts: Sequence[MountSummary]) -> None:
        """Mark what is mounted."""
        if tuple(mounts) != tuple(self._mounts):
            self._mounts = mounts
            self._show_images()

    def _show_images(self) -> None:
        facts = self.facts
        if facts is None:
            return
        wanted = self.query_one("#filter", Input).value.casefold().split()
        rows = rows_of(facts, self.path, self._mounts)
        shown = [row for row in rows if all(word in row.text() for word in wanted)]
        shown.sort(key=SORTS[self._sort], reverse=self._reverse)  # type: ignore[arg-type]
        hint = "No image matches; Escape ends the filter." if wanted else "This WIM has no images."
        self.query_one(ImageTable).show(shown, hint)

    @property
    def current(self) -> ImageRow | None:
        """The image under the cursor."""
        return self.query_one(ImageTable).current

    @on(ColumnTable.Highlighted, "#images")
    def image_highlighted(self) -> None:
        """Show everything about another image."""
        row = self.current
        details = self.query_one("#image-facts", FactList)
        details.border_title = "Image" if row is None else f"Image {row.info.index}"
        details.show([] if row is None else image_facts(row))
        self.refresh_bindings()

    # Filter and sort

    def action_filter(self) -> None:
        """Begin to filter."""
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    @on(Input.Changed, "#filter")
    def filter_changed(self) -> None:
        """Show what matches."""
        self._show_images()

    @on(Input.Submitted, "#filter")
    def filter_done(self) -> None:
        """Keep the filter and go to the images."""
        self.query_one(ImageTable).focus()

    def action_back(self) -> None:
        """End the filter, or go back."""
        box = self.query_one("#filter", Input)
        if box.display:
            box.value = ""
            box.display = False
            self.query_one(ImageTable).focus()
        else:
            super().action_back()

    @on(ColumnTable.HeaderClicked, "#images")
    def header_clicked(self, message: ColumnTable.HeaderClicked) -> None:
        """Sort by a column, or the other way round."""
        if message.key in SORTS:
            self._sort_by(message.key, reverse=message.key == self._sort and not self._reverse)

    def action_sort(self) -> None:
        """Sort by the next column."""
        keys = list(SORTS)
        self._sort_by(keys[(keys.index(self._sort) + 1) % len(keys)], reverse=False)

    def action_reverse(self) -> None:
        """Sort the other way round."""
        self._sort_by(self._sort, reverse=not self._reverse)

    def _sort_by(self, key: str, *, reverse: bool) -> None:
        self._sort, self._reverse = key, reverse
        table = self.query_one(ImageTable)
        table.set_sort(key, reverse=reverse)
        table.border_title = "Images" if key == "index" and not reverse else f"Images by {key}"
        self._show_images()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what needs an image."""
        if super().check_action(action, parameters) is None:
            return None
        if not self.is_mounted:
            return True
        if action == "delete":
            return True if self.current is not None and self._image_count > 1 else None
        if action in ("mount", "browse", "edit", "boot"):
            return True if self.current is not None else None
        if action in ("verify", "optimize", "capture"):
            return True if self.facts is not None else None
        return True

    @property
    def _image_count(self) -> int:
        return 0 if self.facts is None else self.facts.image_count

    @on(ColumnTable.Selected, "#images")
    def image_chosen(self) -> None:
        """Look into an image."""
        self.action_browse()

    def action_browse(self) -> None:
        """Look into the image."""
        if self.current is not None:
            index, parts = self.current.info.index, self.parts
            if parts.first != self.path:
                text = f"the images of {PurePath(self.path).name} are in it"
                title = f"Opened {PurePath(parts.first).name}, the first part"
                self.notify(plain(text), title=plain(title), markup=False)
            self.post_message(messages.ShowImage(parts.first, index, parts.references))

    def action_mount(self) -> None:
        """Mount the image."""
        if self.current is not None:
            index = self.current.info.index
            wish = messages.MountImage(self.parts.first, index, self.parts.references)
            self.post_message(wish)

    def action_verify(self) -> None:
        """Read and check every blob."""
        self.bridge.archives.verify(self.path, self.parts.references)

    def _is_being_written(self, doing: str) -> bool:
        """Refuse what a read-write mount of the WIM forbids, before anything is asked."""
        own = (self.path, os.path.realpath(self.path))
        mounts = (one for one in self._mounts if one.alive and one.mode == "rw")
        point = next((one.mount_point for one in mounts if one.wim_path in own), "")
        if point:
            cause = f"the WIM is mounted read-write at {point}"
            self.post_message(messages.OperationFailed(doing, cause, "unmount it first", 24))
        return bool(point)

    def _names(self) -> dict[str, int]:
        images = () if self.facts is None else self.facts.images
        return {info.name: info.index for info in images if info.name}

    def action_edit(self) -> None:
        """Ask what the image is to be called, and more."""
        row = self.current
        if row is None or self._is_being_written("change the image"):
            return

        def save(properties: object) -> None:
            if isinstance(properties, ImageProperties) and properties != ImageProperties():
                self.bridge.edits.set_image(self, self.path, row.info.index, properties)

        self.app.push_screen(EditImageDialog(row, self._names()), save)

    def action_boot(self) -> None:
        """Make the image the boot image, or no longer."""
        row = self.current
        if row is not None:
            properties = ImageProperties(boot=not row.is_boot)
            self.bridge.edits.set_image(self, self.path, row.info.index, properties)

    def action_delete(self) -> None:
        """Delete the image once that is confirmed; one that is mounted stays."""
        row = self.current
        if row is None:
            return
        if row.mount_points:
            cause = f"image {row.info.index} is mounted at {row.mount_points[0]}"
            failure = messages.OperationFailed("delete the image", cause, "unmount it first", 24)
            self.post_message(failure)
            return
        if self._is_being_written("delete the image"):
            return

        def delete(deletion: object) -> None:
            if isinstance(deletion, Deletion):
                index = row.info.index
                self.bridge.edits.delete_image(self, self.path, index, soft=deletion.soft)

        count = self._image_count
        dialog = DeleteImageDialog(self.bridge, self.path, row, image_count=count)
        self.app.push_screen(dialog, delete)

    def action_capture(self) -> None:
        """Ask for a folder, and add an image of it."""

        def begin(asked: object) -> None:
            if isinstance(asked, Capturing):
                begin_capture(self, self.bridge, asked)

        if not self._is_being_written("add an image"):
            dialog = CaptureDialog(self.bridge, self.path, self._names())
            self.app.push_screen(dialog, begin)

    def action_optimize(self) -> None:
        """Write the WIM anew once that is confirmed."""
        if self._is_being_written("write the WIM anew"):
            return

        def optimize(chosen: object) -> None:
            if isinstance(chosen, Optimisation):
                self.bridge.edits.optimize(self, self.path, recompress=chosen.recompress)
                self.post_message(messages.ShowJobs())

        self.app.push_screen(OptimizeDialog(self.path, self._space), optimize)

    def action_copy_path(self) -> None:
        """Copy the WIM's path."""
        self.post_message(messages.CopyText(self.path, "path"))

    def action_refresh(self) -> None:
        """Read the WIM again."""
        self.bridge.archives.open(self, self.path)
