"""The dialog about a mount that is in use: who uses it, and wait, force or leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from wimtui import messages
from wimtui.screens.base import Dialog
from wimtui.widgets.cells import plain
from wimtui.widgets.holder_table import HolderTable

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.holders import Holder
    from wimtui.service.mounts import MountSummary

_LOOK_S = 1.0


class BusyDialog(Dialog):
    """Shows who uses a mount, and keeps looking."""

    AUTO_FOCUS: ClassVar[str | None] = "#wait"

    def __init__(self, bridge: Bridge, mount: MountSummary, holders: tuple[Holder, ...]) -> None:
        super().__init__()
        self.mount_summary = mount
        self.is_waiting = False
        self._bridge = bridge
        self._holders = holders

    def on_mount(self) -> None:
        """Show who it is and keep looking."""
        self.query_one(HolderTable).show(list(self._holders))
        self.set_interval(_LOOK_S, self._look)

    def _look(self) -> None:
        self._bridge.mounts.find_holders(self, self.mount_summary.mount_point)

    def _say(self, text: str) -> None:
        self.query_one("#outcome", Static).update(plain(text))

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Leave the mount as it is."""
        self.action_close()


class UnmountDialog(BusyDialog):
    """Closes when the mount is gone, or when the user leaves it."""

    BINDINGS: ClassVar = [
        Binding("w", "wait", "Wait", tooltip="Unmount as soon as nobody uses it"),
        Binding("f", "force", "Force", tooltip="Detach it now; who has files open loses them"),
    ]

    def compose(self) -> ComposeResult:
        """What is the matter, who it is, what to do."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Mount in use"
            yield Static(plain(self.mount_summary.mount_point), markup=False, classes="strong")
            yield Static(
                "Somebody has files open there, or works in one of its folders.",
                classes="note",
            )
            yield HolderTable(id="holders", hint="nobody that you may see")
            yield Static("", id="outcome", markup=False)
            yield Static(
                "Wait unmounts once nobody uses it. Force detaches it from the folder at once; "
                "reading and writing open files fails from then on.",
                classes="note",
            )
            with Horizontal(classes="buttons"):
                yield Button("Wait", id="wait", variant="primary", compact=True)
                yield Button("Force", id="force", variant="error", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    @on(messages.HoldersFound)
    def take_holders(self, message: messages.HoldersFound) -> None:
        """Show who uses it at this moment; once nobody does, go on."""
        message.stop()
        self.query_one(HolderTable).show(list(message.holders))
        if self.is_waiting:
            if not message.holders:
                self._bridge.mounts.unmount(self, self.mount_summary)
        elif not message.holders:
            self._say("nobody uses it any more: Wait unmounts it now")

    @on(messages.ChangesStaged)
    def changed(self) -> None:
        """Somebody wrote there; the app asks what becomes of that."""
        self.dismiss(None)

    @on(messages.Unmounted)
    def done(self) -> None:
        """The mount is gone; the app says so."""
        self.dismiss(None)

    @on(messages.UnmountRefused)
    def refused(self, message: messages.UnmountRefused) -> None:
        """Somebody uses it still."""
        message.stop()
        self.query_one(HolderTable).show(list(message.holders))
        self._say("still in use; waiting…" if self.is_waiting else "still in use")

    @on(messages.OperationFailed)
    def failed(self, message: messages.OperationFailed) -> None:
        """Say why; the mount may have ended by other hands."""
        message.stop()
        self._say(message.cause + (f" → {message.hint}" if message.hint else ""))

    @on(Button.Pressed, "#wait")
    def action_wait(self) -> None:
        """Unmount as soon as nobody uses it."""
        self.is_waiting = True
        self._say("waiting…")
        self._bridge.mounts.unmount(self, self.mount_summary)

    @on(Button.Pressed, "#force")
    def action_force(self) -> None:
        """Detach it."""
        self._say("detaching…")
        self._bridge.mounts.unmount(self, self.mount_summary, force=True)
