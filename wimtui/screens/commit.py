"""The dialog about a mount with changes: save them in some way, discard them, or leave them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from wimtui import messages
from wimtui.bridge.commits import LOOK
from wimtui.screens.base import Dialog, WimtuiScreen
from wimtui.screens.commit_form import CommitForm
from wimtui.screens.commit_ways import Way, command_of, count_text, staged_text, verb_of
from wimtui.service.mounts import Disposition, MountStatus
from wimtui.widgets.cells import plain, size_text
from wimtui.widgets.holder_table import HolderTable

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.changes import MountReport
    from wimtui.service.commits import CommitEstimate, CommitSettings
    from wimtui.service.holders import Holder
    from wimtui.service.mounts import MountSummary

_LOOK_S = 1.0
_LOOK_SHARE = 10
"""Looking at what is staged takes at most one in so many seconds."""


class CommitDialog(Dialog):
    """Returns the job that writes, or None."""

    AUTO_FOCUS: ClassVar[str | None] = "#ways"
    VERTICAL_BREAKPOINTS = WimtuiScreen.VERTICAL_BREAKPOINTS
    BINDINGS: ClassVar = [
        Binding("ctrl+s", "go", "Do it", tooltip="Do what is chosen", priority=True),
        Binding("ctrl+y", "copy", "Copy command", tooltip="Copy the equivalent command",
                priority=True),
        Binding("w", "wait", "Wait", tooltip="Go on as soon as nobody uses the mount"),
        Binding("f", "force", "Force", tooltip="Unmount although it is in use"),
    ]  # fmt: skip

    def __init__(
        self, bridge: Bridge, mount: MountSummary, *, stays: bool, way: Way = Way.COMMIT
    ) -> None:
        """Ask about a mount, or about what it left staged.

        Args:
            bridge: The way to the services.
            mount: The mount.
            stays: Whether it is to stay mounted, unless the user wants otherwise.
            way: What is chosen at first.
        """
        super().__init__()
        self._bridge = bridge
        self.mount_summary = mount
        self.is_waiting = False
        self._form = CommitForm(mount, bridge.places.list_wims, stays=stays, way=way)
        self._title = "Commit" if stays or mount.status is MountStatus.DETACHED else "Unmount"
        self._report: MountReport | None = None
        self._holders: tuple[Holder, ...] = ()
        self._estimated: CommitSettings | None = None
        self._no_room_for: CommitSettings | None = None
        self._is_estimating = False
        self._is_ending = False

    # Layout

    def compose(self) -> ComposeResult:
        """What is staged, the form, who is in the way, the command and the buttons."""
        mount = self.mount_summary
        with Vertical(classes="dialog wide") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "ctrl+s does it · ctrl+y copies · esc leaves it"
            yield Static(plain(mount.mount_point or mount.staging_path), markup=False,
                         classes="strong")  # fmt: skip
            yield Static("looking at what is staged…", id="staged", markup=False)
            yield self._form
            yield Static("", id="estimate", markup=False)
            yield HolderTable(id="holders")
            yield Static("", id="command", markup=False)
            yield Static("", id="outcome", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Commit", id="go", variant="primary", compact=True)
                yield Button("Wait", id="wait", variant="primary", compact=True)
                yield Button("Force", id="force", variant="error", compact=True)
                yield Button("Copy command", id="copy", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Ask for what is staged, for the image names, and who uses it."""
        mount = self.mount_summary
        self.query_one("#command").border_title = "The same from a shell"
        self._look()
        self._bridge.archives.open(self, mount.wim_path)
        self.set_interval(_LOOK_S, self._look_at_holders)
        self._look_at_holders()
        self._show()

    def _look(self) -> None:
        self._bridge.commits.look(self, self.mount_summary)

    def _look_at_holders(self) -> None:
        if self._form.unmounts and self.mount_summary.alive:
            self._bridge.mounts.find_holders(self, self.mount_summary.mount_point)

    # Showing

    @property
    def _is_held(self) -> bool:
        return self._form.unmounts and bool(self._holders)

    @property
    def _lacks_room(self) -> bool:
        """Whether what is chosen would be refused for want of room."""
        if self._no_room_for is None or not self._form.way.writes:
            return False
        return self._no_room_for == self._asked()

    def _asked(self) -> CommitSettings:
        # Names take no space worth mentioning, and are typed letter by letter.
        return replace(self._form.settings(), name="", description="", boot=False)

    def command(self) -> str:
        """Return the command line that does the same."""
        form = self._form
        return command_of(self.mount_summary, form.way, form.settings(), unmounts=form.unmounts)

    @on(CommitForm.Changed)
    def changed(self) -> None:
        """Show what follows; what was waited for is not what is chosen any more."""
        self.is_waiting = False
        self._say("")
        self._show()

    def _show(self) -> None:
        self.query_one("#command", Static).update(plain(self.command()))
        self.query_one("#estimate").visible = self._form.way.writes
        self._show_buttons()
        self._ask_for_estimate()

    def _show_buttons(self) -> None:
        held = self._is_held
        cannot = bool(self._form.problem()) or self._is_ending or self._lacks_room
        self.query_one("#holders").display = held
        for name in ("wait", "force"):
            self.query_one(f"#{name}").display = held
            self.query_one(f"#{name}").disabled = cannot
        button = self.query_one("#go", Button)
        button.display = not held
        button.disabled = cannot
        way = self._form.way
        changes = "all"
        if self._report is not None:
            changes = count_text(len(self._report.changes), "change")
        button.label = verb_of(way, changes, unmounts=self._form.unmounts)
        button.refresh(layout=True)
        button.variant = "error" if way is Way.DISCARD else "primary"

    def _say(self, text: str, look: str = "") -> None:
        outcome = self.query_one("#outcome", Static)
        outcome.update(plain(text))
        outcome.set_class(look == "bad", "bad")

    # What services say

    @on(messages.StagedRead)
    def take_staged(self, message: messages.StagedRead) -> None:
        """Show what is staged, and look again: programs may be writing."""
        message.stop()
        before = self._report
        self._report = message.report
        if before is None or before.changes != message.report.changes:
            self.query_one("#staged", Static).update(staged_text(message.report))
            self._form.take_report(message.report)
            self._estimated = None
            self._show()
        if self.mount_summary.alive:
            pause = max(_LOOK_S, _LOOK_SHARE * message.seconds)
            self.set_timer(pause, self._look)

    @on(messages.ArchiveOpened)
    def take_facts(self, message: messages.ArchiveOpened) -> None:
        """Note which names are taken."""
        message.stop()
        self._form.taken = {info.name: info.index for info in message.facts.images if info.name}
        self._form.show()
        self._show_buttons()

    def _ask_for_estimate(self) -> None:
        asked = self._asked()
        if self._is_estimating or asked == self._estimated or not self._form.way.writes:
            return
        self._is_estimating = True
        self._bridge.commits.estimate(self, self.mount_summary, asked)

    def _estimate_again(self) -> None:
        """Look whether there is room by now."""
        self._estimated = None
        self._ask_for_estimate()

    @on(messages.EstimateRead)
    def take_estimate(self, message: messages.EstimateRead) -> None:
        """Show what would be written, and ask again if that is not what is asked any more."""
        message.stop()
        self._is_estimating = False
        self._estimated = message.settings
        line = self.query_one("#estimate", Static)
        found = message.estimate
        text = message.problem if found is None else estimate_text(found)
        line.update(plain(text))
        line.set_class(found is not None and found.free < found.needed, "bad")
        self._no_room_for = None
        if found is not None and found.free < found.least:
            self._no_room_for = message.settings
            self.set_timer(_LOOK_S, self._estimate_again)
        self._show_buttons()
        self._ask_for_estimate()

    @on(messages.HoldersFound)
    def take_holders(self, message: messages.HoldersFound) -> None:
        """Show who is in the way; once nobody is, go on if that was waited for."""
        message.stop()
        self._take_holders(message.holders)
        if self.is_waiting and not message.holders:
            self._do()

    def _take_holders(self, holders: tuple[Holder, ...]) -> None:
        had_focus = self.focused
        self._holders = holders
        self.query_one(HolderTable).show(list(holders))
        self._show_buttons()
        if had_focus is not None and not had_focus.display:
            self.query_one("#wait" if self._is_held else "#go").focus()

    @on(messages.Unmounted)
    def ended(self) -> None:
        """It is gone; the app says so."""
        self.dismiss(None)

    @on(messages.UnmountRefused)
    def refused(self, message: messages.UnmountRefused) -> None:
        """Somebody uses it."""
        message.stop()
        self._is_ending = False
        self._take_holders(message.holders)
        self._say("in use; waiting…" if self.is_waiting else message.cause)

    @on(messages.OperationFailed)
    def failed(self, message: messages.OperationFailed) -> None:
        """Say why; what only adorns the dialog may fail without a word."""
        message.stop()
        text = message.cause + (f" → {message.hint}" if message.hint else "")
        if message.doing == LOOK:
            if not self._is_ending:
                if self._report is None:
                    self.query_one("#staged", Static).update(plain(text))
                self.set_timer(_LOOK_S, self._look)
            return
        if message.subject == self.mount_summary.wim_path:
            return
        self._is_ending = False
        self._say(text, "bad")
        self._show_buttons()

    # Actions

    @on(CommitForm.Completed)
    def completed(self) -> None:
        """Enter does it; what loses something takes one more, on the button that says so."""
        is_asked = self._form.way is Way.DISCARD and self.focused is self.query_one("#ways")
        if is_asked and not self._form.problem():
            self.query_one("#wait" if self._is_held else "#go").focus()
        else:
            self.action_go()

    @on(Button.Pressed, "#go")
    def action_go(self) -> None:
        """Do what is chosen, once nobody is in the way."""
        problem = self._form.problem()
        if problem:
            self._say(problem, "bad")
        elif self._lacks_room:
            self._say("too little room there: make some, or save as a file on another disk", "bad")
        elif self._is_held:
            self.action_wait()
        else:
            self._do()

    @on(Button.Pressed, "#wait")
    def action_wait(self) -> None:
        """Do it as soon as nobody uses the mount."""
        if self._is_held and not (self._form.problem() or self._lacks_room):
            self.is_waiting = True
            self._say("waiting until nobody uses it…")
            self._look_at_holders()

    @on(Button.Pressed, "#force")
    def action_force(self) -> None:
        """Do it now."""
        if self._is_held and not (self._form.problem() or self._lacks_room):
            self._do(force=True)

    def _do(self, *, force: bool = False) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        mount, form = self.mount_summary, self._form
        if form.way.writes:
            job = self._bridge.commits.begin(
                mount, form.settings(), unmounts=form.unmounts, force=force
            )
            self.dismiss(job)
            return
        self._say("unmounting…" if mount.alive else "…")
        self._show_buttons()
        fate = Disposition.DISCARD if form.way is Way.DISCARD else Disposition.KEEP
        self._bridge.mounts.unmount(self, mount, force=force, disposition=fate)

    @on(Button.Pressed, "#copy")
    def action_copy(self) -> None:
        """Copy the command."""
        self.post_message(messages.CopyText(self.command(), "command"))

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        """Leave everything as it is."""
        self.action_close()


def estimate_text(found: CommitEstimate) -> str:
    """Return what a commit writes, and whether there is room for it."""
    whole = " (the whole file)" if found.is_rebuilt else ""
    text = f"Writes about {size_text(found.needed)}{whole}, at most {size_text(found.new)}"
    if found.free < found.needed:
        return f"{text}; only {size_text(found.free)} free"
    return f"{text}; {size_text(found.free)} free"
