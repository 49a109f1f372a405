"""The dialog about a mount with changes: save them in some way, discard them, or leave them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Grid, Horizontal, Vertical
from textual.widgets import Button, Input, Label, OptionList, Select, Static

from wimtui import messages
from wimtui.screens.base import Dialog, WimtuiScreen
from wimtui.screens.commit_ways import (
    MANY_FILES,
    Way,
    command_of,
    count_text,
    explanation_of,
    label_of,
    loss_lines,
    loss_text,
    lost_files,
    name_to_type,
    staged_text,
    verb_of,
    ways_of,
)
from wimtui.service.commits import CommitSettings
from wimtui.service.mounts import Disposition, MountStatus
from wimtui.widgets.cells import plain, size_text
from wimtui.widgets.check import Check
from wimtui.widgets.choice_list import ChoiceList
from wimtui.widgets.holder_table import HolderTable
from wimtui.widgets.path_suggester import PathSuggester
from wimtui.widgets.text_view import TextView

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.changes import MountReport
    from wimtui.service.commits import CommitEstimate
    from wimtui.service.holders import Holder
    from wimtui.service.mounts import MountSummary

_LOOK_S = 1.0
_LOOK_SHARE = 10
"""Looking at what is staged takes at most one in so many seconds."""

_COMPRESSIONS = (
    ("as the WIM is", ""), ("none", "none"), ("XPRESS", "XPRESS"), ("LZX", "LZX"),
    ("LZMS", "LZMS"),
)  # fmt: skip


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

    def __init__(self, bridge: Bridge, mount: MountSummary, *, stays: bool) -> None:
        """Ask about a mount, or about what it left staged.

        Args:
            bridge: The way to the services.
            mount: The mount.
            stays: Whether it is to stay mounted, unless the user wants otherwise.
        """
        super().__init__()
        self._bridge = bridge
        self.mount_summary = mount
        self.is_waiting = False
        self._can_stay = mount.alive
        self._stays = stays or mount.status is MountStatus.DETACHED
        self._report: MountReport | None = None
        self._holders: tuple[Holder, ...] = ()
        self._taken: dict[str, int] = {}
        self._estimated: CommitSettings | None = None
        self._is_estimating = False
        self._is_ending = False

    # Layout

    def compose(self) -> ComposeResult:
        """Ways left and what they mean right; options, who is in the way, command, buttons."""
        mount = self.mount_summary
        with Vertical(classes="dialog wide") as dialog:
            dialog.border_title = "Commit" if self._stays else "Unmount"
            dialog.border_subtitle = "ctrl+s does it · ctrl+y copies · esc leaves it"
            where = mount.mount_point or mount.staging_path
            yield Static(plain(where), markup=False, classes="strong")
            yield Static("looking at what is staged…", id="staged", markup=False)
            with Horizontal(id="choice"):
                yield ChoiceList(id="ways", compact=True, markup=False)
                yield from self._compose_details()
            with Grid(id="options"):
                yield Check("integrity table", id="check", compact=True)
                yield Check("recompress", id="recompress", compact=True)
                yield Check("solid", id="solid", compact=True)
                yield Check(
                    "stay mounted", self._stays and self._can_stay, id="stays", compact=True,
                    disabled=not self._can_stay,
                )  # fmt: skip
            with Horizontal(id="compression"):
                yield Label("compression")
                yield Select(_COMPRESSIONS, id="compress", compact=True, allow_blank=False)
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

    def _compose_details(self) -> ComposeResult:
        with Vertical(id="details"):
            yield Static("", id="explanation", markup=False)
            with Grid(classes="form", id="image-form"):
                yield Label("Name")
                yield Input(id="name", compact=True, placeholder="none")
                yield Label("Description")
                yield Input(id="description", compact=True, placeholder="none")
                yield Label("")
                yield Check("make it the bootable one", id="boot", compact=True)
                yield Label("")
                yield Static("", id="name-note", markup=False)
            with Grid(classes="form", id="path-form"):
                yield Label("File")
                suggester = PathSuggester(self._bridge.places.list_wims)
                yield Input(
                    id="path", compact=True, placeholder="another .wim", suggester=suggester
                )
            yield TextView(id="losses")
            yield Input(id="confirm", compact=True)

    def on_mount(self) -> None:
        """Ask for what is staged, for the image names, and who uses it."""
        mount = self.mount_summary
        self.query_one("#command").border_title = "The same from a shell"
        ways = [(way.value, label_of(way, mount)) for way in ways_of(mount)]
        self.query_one(ChoiceList).offer(ways)
        self._bridge.commits.look(self, mount)
        self._bridge.archives.open(self, mount.wim_path)
        self.set_interval(_LOOK_S, self._look_at_holders)
        self._look_at_holders()
        self._show()

    def _look_at_holders(self) -> None:
        if self._unmounts and self.mount_summary.alive:
            self._bridge.mounts.find_holders(self, self.mount_summary.mount_point)

    # What is chosen

    @property
    def _way(self) -> Way:
        chosen = self.query_one(ChoiceList).chosen
        return Way(chosen) if chosen else Way.COMMIT

    @property
    def _unmounts(self) -> bool:
        if self.mount_summary.status is MountStatus.DETACHED:
            return False
        if not self._can_stay or not self._way.writes:
            return True
        return not self.query_one("#stays", Check).value

    @property
    def _is_held(self) -> bool:
        return self._unmounts and bool(self._holders)

    def settings(self) -> CommitSettings:
        """Return how to commit."""
        way = self._way
        if not way.writes:
            return CommitSettings()

        def is_set(name: str) -> bool:
            return self.query_one(f"#{name}", Check).value

        def typed(name: str) -> str:
            return self.query_one(f"#{name}", Input).value.strip()

        compress = self.query_one("#compress", Select).value
        asked = CommitSettings(
            rebuild=way is Way.REBUILD,
            recompress=is_set("recompress"),
            solid=is_set("solid"),
            check=is_set("check"),
            compress=str(compress) if compress else None,
        )
        if way is Way.NEW_IMAGE:
            return replace(
                asked, new_image=True, name=typed("name"), description=typed("description"),
                boot=is_set("boot"),
            )  # fmt: skip
        return replace(asked, save_as=typed("path")) if way is Way.SAVE_AS else asked

    def command(self) -> str:
        """Return the command line that does the same."""
        return command_of(
            self.mount_summary, self._way, self.settings(), unmounts=self._unmounts
        )

    def problem(self) -> str:
        """Return what is missing before it can be done; empty for nothing."""
        way = self._way
        if way is Way.SAVE_AS and not self.query_one("#path", Input).value.strip():
            return "say which file to write"
        name = self.query_one("#name", Input).value.strip()
        if way is Way.NEW_IMAGE and name in self._taken:
            return f"image {self._taken[name]} has that name"
        if way is not Way.DISCARD:
            return ""
        if self._report is None:
            return "looking at what is staged…"
        if lost_files(self._report) > MANY_FILES:
            wanted, whose = name_to_type(self.mount_summary)
            if self.query_one("#confirm", Input).value.strip() != wanted:
                return f"type {plain(wanted)}, the name of the {whose}"
        return ""

    # Showing

    @on(OptionList.OptionHighlighted, "#ways")
    @on(Check.Changed)
    @on(Select.Changed)
    @on(Input.Changed)
    def changed(self) -> None:
        """Show what follows; what was waited for is not what is chosen any more."""
        if self.is_waiting:
            self.is_waiting = False
            self._say("")
        self._show()

    def _show(self) -> None:
        way, mount = self._way, self.mount_summary
        self.query_one("#explanation", Static).update(
            explanation_of(way, mount, unmounts=self._unmounts)
        )
        self.query_one("#image-form").display = way is Way.NEW_IMAGE
        self.query_one("#path-form").display = way is Way.SAVE_AS
        # Hidden, they keep their place: a dialog that jumps is hard to read.
        for name in ("options", "compression", "estimate"):
            self.query_one(f"#{name}").visible = way.writes
        self._show_losses(way)
        self.query_one("#command", Static).update(plain(self.command()))
        self._show_buttons()
        self._ask_for_estimate()

    def _show_losses(self, way: Way) -> None:
        report = self._report
        is_shown = way is Way.DISCARD and report is not None
        self.query_one("#losses").display = is_shown
        confirm = self.query_one("#confirm", Input)
        confirm.display = is_shown and report is not None and lost_files(report) > MANY_FILES
        if is_shown and report is not None:
            self.query_one("#explanation", Static).update(loss_text(report))
            wanted, whose = name_to_type(self.mount_summary)
            confirm.placeholder = f"type {plain(wanted)}, the name of the {whose}"

    def _show_buttons(self) -> None:
        held = self._is_held
        problem = self.problem()
        self.query_one("#holders").display = held
        for name in ("wait", "force"):
            self.query_one(f"#{name}").display = held
            self.query_one(f"#{name}").disabled = bool(problem) or self._is_ending
        button = self.query_one("#go", Button)
        button.display = not held
        button.disabled = bool(problem) or self._is_ending
        changes = "all" if self._report is None else self._count()
        button.label = verb_of(self._way, changes, unmounts=self._unmounts)
        button.refresh(layout=True)
        button.variant = "error" if self._way is Way.DISCARD else "primary"
        note = self.query_one("#name-note", Static)
        note.update(f"✗ {problem}" if self._way is Way.NEW_IMAGE and problem else "")

    def _count(self) -> str:
        return count_text(0 if self._report is None else len(self._report.changes), "change")

    def _say(self, text: str, look: str = "") -> None:
        outcome = self.query_one("#outcome", Static)
        outcome.update(plain(text))
        outcome.set_class(look == "bad", "bad")

    # What services say

    @on(messages.StagedRead)
    def take_staged(self, message: messages.StagedRead) -> None:
        """Show what is staged, and look again: programs may be writing."""
        message.stop()
        if message.report != self._report:
            self._report = message.report
            self.query_one("#staged", Static).update(staged_text(message.report))
            self.query_one(TextView).show(loss_lines(message.report), keep_place=True)
            self._estimated = None
            self._show()
        pause = max(_LOOK_S, _LOOK_SHARE * message.seconds)
        self.set_timer(pause, lambda: self._bridge.commits.look(self, self.mount_summary))

    @on(messages.ArchiveOpened)
    def take_facts(self, message: messages.ArchiveOpened) -> None:
        """Note which names are taken."""
        message.stop()
        self._taken = {info.name: info.index for info in message.facts.images if info.name}
        self._show_buttons()

    def _ask_for_estimate(self) -> None:
        # Names take no space worth mentioning, and are typed letter by letter.
        asked = replace(self.settings(), name="", description="", boot=False)
        if self._is_estimating or asked == self._estimated or not self._way.writes:
            return
        self._is_estimating = True
        self._bridge.commits.estimate(self, self.mount_summary, asked)

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
        if message.subject == self.mount_summary.wim_path:
            return
        self._is_ending = False
        self._say(f"{message.cause}" + (f" → {message.hint}" if message.hint else ""), "bad")
        self._show_buttons()

    # Actions

    @on(OptionList.OptionSelected, "#ways")
    def chosen(self) -> None:
        """Enter goes on: to what has to be filled in, to the button that loses, or does it."""
        needed = {Way.NEW_IMAGE: "#name", Way.SAVE_AS: "#path", Way.DISCARD: "#go"}.get(self._way)
        if self._way is Way.DISCARD and self.query_one("#confirm").display:
            needed = "#confirm"
        if needed == "#go" and self._is_held:
            needed = "#wait"
        if needed is None:
            self.action_go()
        else:
            self.query_one(needed).focus()

    @on(Button.Pressed, "#go")
    @on(Input.Submitted)
    def action_go(self) -> None:
        """Do what is chosen, once nobody is in the way."""
        if self.problem():
            self._say(self.problem(), "bad")
        elif self._is_held:
            self.action_wait()
        else:
            self._do()

    @on(Button.Pressed, "#wait")
    def action_wait(self) -> None:
        """Do it as soon as nobody uses the mount."""
        if self._is_held and not self.problem():
            self.is_waiting = True
            self._say("waiting until nobody uses it…")
            self._look_at_holders()

    @on(Button.Pressed, "#force")
    def action_force(self) -> None:
        """Do it now."""
        if self._is_held and not self.problem():
            self._do(force=True)

    def _do(self, *, force: bool = False) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        mount, way, unmounts = self.mount_summary, self._way, self._unmounts
        if way.writes:
            job = self._bridge.commits.begin(
                mount, self.settings(), unmounts=unmounts, force=force
            )
            self.dismiss(job)
            return
        self._say("unmounting…" if mount.alive else "…")
        self._show_buttons()
        fate = Disposition.DISCARD if way is Way.DISCARD else Disposition.KEEP
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
    """Return what a commit writes, needs, and finds free."""
    text = f"writes up to {size_text(found.new)} · needs {size_text(found.needed)}"
    if found.free < found.needed:
        return f"{text}, only {size_text(found.free)} free"
    return f"{text}, {size_text(found.free)} free"
