"""The mount dialog: which image, where, and how; with the command that does the same."""

from __future__ import annotations

import glob
import os
import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Grid, Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Label, Select, Static

from wimtui import messages, upkeep_messages
from wimtui.screens.base import Dialog
from wimtui.widgets.cells import plain, size_text
from wimtui.widgets.check import Check
from wimtui.widgets.path_suggester import PathSuggester

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.archives import ArchiveFacts, SplitSet
    from wimtui.service.mount_points import MountPlace
    from wimtui.service.mounts import MountSummary
    from wimtui.service.write_access import WriteAccess
    from wimtui.settings import Settings

MODES = (("read-only", "ro"), ("read-write, changes are staged", "rw"))
STREAMS = (
    ("as attributes, user.*", "xattr"),
    ("as files, file:stream", "windows"),
    ("not at all", "none"),
)


def mount_command(
    wim: str, image: int, mount_point: str, *, streams: str, flags: Sequence[str],
    references: Sequence[str], staging_dir: str = "",
) -> str:  # fmt: skip
    """Return the command line that mounts in the same way; ``rw`` is a flag."""
    words = ["wimtui", "mount", *(f"--{flag}" for flag in flags)]
    if staging_dir:
        words.append(f"--staging-dir={staging_dir}")
    if streams != "xattr":
        words.append(f"--streams-interface={streams}")
    words += [f"--ref={reference}" for reference in references]
    words += [wim, str(image), mount_point or "DIR"]
    return shlex.join(words)


class MountDialog(Dialog):
    """Asks how to mount, mounts, and closes when the file system answers."""

    AUTO_FOCUS: ClassVar[str | None] = "#place"
    BINDINGS: ClassVar = [
        Binding("ctrl+s", "mount", "Mount", tooltip="Mount with these options", priority=True),
        Binding("ctrl+y", "copy", "Copy command", tooltip="Copy the equivalent command",
                priority=True),
    ]  # fmt: skip

    def __init__(
        self,
        bridge: Bridge,
        path: str,
        image_index: int,
        references: Sequence[str],
        settings: Settings,
    ) -> None:
        super().__init__()
        self.bridge = bridge
        self.path = path
        self._index = image_index
        self._references = tuple(references)
        self._settings = settings
        self._facts: ArchiveFacts | None = None
        self._place: MountPlace | None = None
        self._access: WriteAccess | None = None
        self._mount_id = ""
        self._suggested = ""

    def compose(self) -> ComposeResult:
        """Fields above, the command and the buttons below."""
        with Vertical(id="dialog", classes="dialog wide") as dialog:
            dialog.border_title = "Mount"
            with VerticalScroll(id="fields", can_focus=False):
                with Grid(classes="form"):
                    yield Label("WIM")
                    yield Static(plain(self.path), id="wim", markup=False)
                    yield Label("Image")
                    yield Select([], id="image", compact=True, prompt="reading…")
                    yield Label("Mode")
                    yield Select(MODES, id="mode", compact=True, allow_blank=False, value="ro")
                    yield Label("Mount point")
                    suggester = PathSuggester(self.bridge.places.list_folders)
                    yield Input(id="place", compact=True, placeholder="an empty folder",
                                suggester=suggester)  # fmt: skip
                    yield Label("")
                    yield Static("", id="place-note", markup=False)
                with Grid(classes="form", id="for-rw"):
                    yield Label("Staging in")
                    yield Input(
                        id="staging-dir", compact=True, placeholder="beside the WIM",
                        suggester=PathSuggester(self.bridge.places.list_folders),
                    )  # fmt: skip
                    yield Label("")
                    yield Static("", id="staging-note", markup=False)
                with Grid(classes="form"):
                    yield Label("Streams")
                    yield Select(STREAMS, id="streams", compact=True, allow_blank=False,
                                 value=self._settings.streams)  # fmt: skip
                    yield Label("References")
                    yield Input(
                        shlex.join(self._references), id="references", compact=True,
                        placeholder="globs of other parts, or of a delta's base",
                    )  # fmt: skip
                with Grid(id="flags"):
                    known = self._settings
                    yield Check("check integrity first", known.check, id="check", compact=True)
                    yield Check("UNIX owners and modes", id="unix-data", compact=True)
                    yield Check("ignore case of names", known.ignore_case, id="ignore-case",
                                   compact=True)  # fmt: skip
                    yield Check("let other users in", known.allow_other, id="allow-other",
                                   compact=True)  # fmt: skip
            yield Static("", id="command", markup=False)
            yield Static("", id="outcome", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Mount", id="mount", variant="primary", compact=True, disabled=True)
                yield Button("Copy command", id="copy", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Read the images."""
        self.query_one("#command").border_title = "The same from a shell"
        self._show_for_rw()
        self.bridge.archives.open(self, self.path)
        self._show_command()

    # What services say

    @on(messages.ArchiveOpened)
    def take_facts(self, message: messages.ArchiveOpened) -> None:
        """Offer the images."""
        message.stop()
        self._facts = message.facts
        self._take_parts(message.parts)
        images = message.facts.images
        select: Select[int] = self.query_one("#image", Select)
        select.set_options(
            [(f"{info.index}  {plain(info.name) or '(unnamed)'}", info.index) for info in images]
        )
        if images:
            select.value = self._index or self._first_free()
        else:
            self._say("this WIM has no images", "bad")

    def _take_parts(self, parts: SplitSet) -> None:
        """Mount the first part of a split set, with all of them, unless others were named."""
        if parts.first != self.path:
            self.path = parts.first
            self.query_one("#wim", Static).update(f"{plain(parts.first)}, the first part")
        box = self.query_one("#references", Input)
        if parts.references and not box.value:
            box.value = shlex.join(parts.references)

    def _first_free(self) -> int:
        mounts: Sequence[MountSummary] = getattr(self.app, "mounts", ())
        real = os.path.realpath(self.path)
        taken = {mount.image_index for mount in mounts if mount.wim_path in (self.path, real)}
        count = 0 if self._facts is None else self._facts.image_count
        return next((index for index in range(1, count + 1) if index not in taken), 1)

    @on(messages.PlaceSuggested)
    def take_suggestion(self, message: messages.PlaceSuggested) -> None:
        """Offer a mount point, unless one was typed."""
        message.stop()
        box = self.query_one("#place", Input)
        if message.image_index == self._image and box.value in ("", self._suggested):
            self._suggested = message.path
            box.value = message.path
            box.cursor_position = len(message.path)

    @on(messages.PlaceChecked)
    def take_place(self, message: messages.PlaceChecked) -> None:
        """Say what speaks against the mount point."""
        message.stop()
        if message.typed != self.query_one("#place", Input).value:
            return
        self._place = message.place
        note = self.query_one("#place-note", Static)
        good = message.place.can_mount or message.place.can_create
        note.update(("✓ " if good else "✗ ") + plain(message.place.text))
        note.set_class(good, "good")
        note.set_class(not good, "bad")
        self._show_command()

    @on(upkeep_messages.WriteAccessChecked)
    def take_access(self, message: upkeep_messages.WriteAccessChecked) -> None:
        """Say what speaks against a read-write mount, and how much room there is."""
        message.stop()
        if message.staging_typed != self.query_one("#staging-dir", Input).value:
            return
        access = self._access = message.access
        note = self.query_one("#staging-note", Static)
        if access.refusal:
            text = f"✗ {access.refusal}"
        elif not access.place.is_usable:
            text = f"✗ {access.place.text}"
        else:
            text = f"✓ {access.place.text}, {size_text(access.place.free_nbytes)} free"
        if left := self._left_behind():
            text += f"\nUncommitted changes are in {left}; a remount brings them back."
        note.update("\n".join(map(plain, text.split("\n"))))
        note.set_class(text.startswith("✓"), "good")
        note.set_class(text.startswith("✗"), "bad")
        self._show_command()

    def _left_behind(self) -> str:
        """Return where changes of an earlier mount of the WIM are: a commit outdates them."""
        mounts: Sequence[MountSummary] = getattr(self.app, "mounts", ())
        own = (self.path, os.path.realpath(self.path))
        left = (one for one in mounts if one.wim_path in own and not one.alive)
        return next((one.staging_path for one in left if one.staging_path), "")

    @on(messages.MountProgress)
    def take_progress(self, message: messages.MountProgress) -> None:
        """Say how far the daemon is."""
        message.stop()
        share = f" {message.done / message.total:.0%}" if message.total else ""
        self._say(f"{message.phase}{share}…", "")

    @on(messages.Mounted)
    def take_mount(self, message: messages.Mounted) -> None:
        """Done; the app says so."""
        if message.summary.mount_id == self._mount_id:
            self.dismiss(message.summary)

    @on(messages.OperationFailed)
    def take_failure(self, message: messages.OperationFailed) -> None:
        """Say why not, and let the user try otherwise."""
        message.stop()
        self._mount_id = ""
        text = message.cause + (f"\n→ {message.hint}" if message.hint else "")
        self._say(text, "bad")
        self._show_command()

    # Fields

    @property
    def _image(self) -> int:
        value = self.query_one("#image", Select).value
        return value if isinstance(value, int) else 0

    @on(Select.Changed, "#image")
    def image_changed(self) -> None:
        """Offer a mount point for another image."""
        if self._image and self._facts is not None:
            self.bridge.places.suggest(self, self.path, self._image, self._facts.image_count)
        self._show_command()

    @on(Input.Changed, "#place")
    def place_changed(self, event: Input.Changed) -> None:
        """Look at the mount point."""
        self._place = None
        self.bridge.places.check(self, event.value)
        self._show_command()

    @property
    def is_read_write(self) -> bool:
        """Whether a read-write mount is wanted."""
        return self.query_one("#mode", Select).value == "rw"

    @on(Select.Changed, "#mode")
    def mode_changed(self) -> None:
        """Show or hide what only read-write mounts have."""
        self._show_for_rw()
        self._check_access()

    def _show_for_rw(self) -> None:
        self.query_one("#for-rw").display = self.is_read_write

    @on(Input.Changed, "#staging-dir")
    @on(Input.Changed, "#references")
    def access_may_differ(self) -> None:
        """Look whether the WIM can be written, and where changes would go."""
        self._check_access()

    def _check_access(self) -> None:
        self._access = None
        if self.is_read_write:
            typed = self.query_one("#staging-dir", Input).value
            references = self._typed_references()
            self.bridge.places.check_write_access(self, self.path, references, typed)
        self._show_command()

    @on(Select.Changed, "#streams")
    @on(Check.Changed)
    def option_changed(self) -> None:
        """Show the command anew."""
        self._show_command()

    def _typed_references(self) -> tuple[str, ...]:
        text = self.query_one("#references", Input).value
        try:
            return tuple(shlex.split(text))
        except ValueError:
            return (text,)

    def _flags(self) -> list[str]:
        mode = ["rw"] if self.is_read_write else []
        return mode + [box.id or "" for box in self.query(Check) if box.value]

    def _staging_parent(self) -> str:
        """Return the folder for the staging folder, empty for beside the WIM."""
        typed = self.query_one("#staging-dir", Input).value.strip()
        if not typed or not self.is_read_write:
            return ""
        return typed if self._access is None else self._access.place.path

    def _typed_place(self) -> str:
        typed = self.query_one("#place", Input).value.strip()
        return self._place.path if self._place is not None else typed

    def command(self) -> str:
        """Return the command line that does the same."""
        return mount_command(
            self.path, self._image or 1, self._typed_place(),
            streams=str(self.query_one("#streams", Select).value), flags=self._flags(),
            references=self._typed_references(), staging_dir=self._staging_parent(),
        )  # fmt: skip

    def _show_command(self) -> None:
        self.query_one("#command", Static).update(plain(self.command()))
        place = self._place
        ready = place is not None and (place.can_mount or place.can_create)
        ready = ready and self._can_write() and bool(self._image) and not self._mount_id
        self.query_one("#mount", Button).disabled = not ready

    def _can_write(self) -> bool:
        if not self.is_read_write:
            return True
        access = self._access
        return access is not None and not access.refusal and access.place.is_usable

    def _say(self, text: str, look: str) -> None:
        outcome = self.query_one("#outcome", Static)
        outcome.update("\n".join(plain(line) for line in text.split("\n")))
        outcome.set_class(look == "bad", "bad")

    # Actions

    @on(Button.Pressed, "#mount")
    def action_mount(self) -> None:
        """Mount."""
        place = self._place
        if self.query_one("#mount", Button).disabled or place is None:
            return
        references = self._typed_references()
        for pattern in references:
            if not glob.has_magic(pattern) and not PurePath(pattern).name:
                self._say(f"{pattern} names no file", "bad")
                return
        flags = self._flags()
        request = self.bridge.services.new_request(
            self.path,
            place.path,
            image=str(self._image),
            read_write=self.is_read_write,
            staging_parent=self._staging_parent() or None,
            references=references,
            streams=str(self.query_one("#streams", Select).value),
            check="check" in flags,
            unix_data="unix-data" in flags,
            ignore_case="ignore-case" in flags,
            allow_other="allow-other" in flags,
        )
        self._mount_id = request.mount_id
        self._say("starting…", "")
        self._show_command()
        self.bridge.mounts.mount(self, request, create=place.can_create)

    @on(Input.Submitted)
    def submitted(self) -> None:
        """Enter in a field mounts."""
        self.action_mount()

    @on(Button.Pressed, "#copy")
    def action_copy(self) -> None:
        """Copy the command."""
        self.post_message(messages.CopyText(self.command(), "command"))

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Close."""
        self.action_close()
