"""The dialogs of a switch: which image to mount instead, and who keeps the mount busy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from wimtui import messages, upkeep_messages
from wimtui.screens.base import Dialog
from wimtui.screens.unmount import BusyDialog
from wimtui.widgets.cells import plain
from wimtui.widgets.column_table import ColumnTable
from wimtui.widgets.holder_table import HolderTable
from wimtui.widgets.image_table import ImageChoices, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.mounts import MountSummary


class SwitchImageDialog(Dialog):
    """Asks which image is to be mounted at the place of another, and begins that."""

    AUTO_FOCUS: ClassVar[str | None] = "#choices"

    def __init__(self, bridge: Bridge, mount: MountSummary) -> None:
        super().__init__()
        self._bridge = bridge
        self._mount = mount

    def compose(self) -> ComposeResult:
        """The images of the WIM."""
        with Vertical(classes="dialog wide tall") as dialog:
            dialog.border_title = "Mount another image"
            yield Static(plain(self._mount.mount_point), markup=False, classes="strong")
            yield Static(
                "The mount ends, and the image that you choose is mounted there in the same way.",
                classes="note",
            )
            yield ImageChoices(id="choices", hint="Reading the WIM…")
            yield Static("", id="outcome", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Switch", id="switch", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Read the images."""
        self._bridge.archives.open(self, self._mount.wim_path)

    @on(messages.ArchiveOpened)
    def take_facts(self, message: messages.ArchiveOpened) -> None:
        """Show them, the cursor on the one that is mounted."""
        message.stop()
        mounts: Sequence[MountSummary] = getattr(self.app, "mounts", ())
        table = self.query_one(ImageChoices)
        table.show(list(rows_of(message.facts, message.path, mounts)), "This WIM has no images.")
        table.move_to(self._mount.image_index)

    @on(messages.OperationFailed)
    def failed(self, message: messages.OperationFailed) -> None:
        """Say why there is nothing to choose."""
        message.stop()
        self._say(message.cause + (f" → {message.hint}" if message.hint else ""))

    @on(ColumnTable.Selected)
    @on(Button.Pressed, "#switch")
    def chosen(self) -> None:
        """Wish it, unless it is mounted already."""
        row = self.query_one(ImageChoices).current
        if row is None:
            return
        index = row.info.index
        if index == self._mount.image_index:
            self._say(f"image {index} is mounted there already")
            return
        self._bridge.recovery.switch(upkeep_messages.SwitchMount(self._mount, image_index=index))
        self.dismiss(None)

    def _say(self, text: str) -> None:
        self.query_one("#outcome", Static).update(plain(text))

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Leave the mount as it is."""
        self.action_close()


class SwitchBusyDialog(BusyDialog):
    """Shows who uses a mount that is to be switched; switches it once nobody does."""

    BINDINGS: ClassVar = [
        Binding("w", "wait", "Wait", tooltip="Switch as soon as nobody uses it"),
    ]

    def __init__(self, bridge: Bridge, refused: upkeep_messages.SwitchRefused) -> None:
        super().__init__(bridge, refused.wish.mount, refused.holders)
        self._wish = refused.wish

    def compose(self) -> ComposeResult:
        """What is the matter, who it is, what to do."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Mount in use"
            yield Static(plain(self.mount_summary.mount_point), markup=False, classes="strong")
            yield Static(
                "Somebody has files open there, or works in one of its folders. It is mounted as "
                "it was.",
                classes="note",
            )
            yield HolderTable(id="holders", hint="nobody that you may see")
            yield Static("", id="outcome", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Wait", id="wait", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    @on(messages.HoldersFound)
    def take_holders(self, message: messages.HoldersFound) -> None:
        """Show who uses it at this moment; once nobody does, go on."""
        message.stop()
        self.query_one(HolderTable).show(list(message.holders))
        if not message.holders and self.is_waiting:
            self._bridge.recovery.switch(self._wish)
            self.dismiss(None)
        elif not message.holders:
            self._say("nobody uses it any more: Wait switches it now")

    @on(Button.Pressed, "#wait")
    def action_wait(self) -> None:
        """Switch as soon as nobody uses it."""
        self.is_waiting = True
        self._say("waiting…")
        self._look()
