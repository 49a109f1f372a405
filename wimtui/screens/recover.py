"""Recover: what a crash, a kill or an unmount left behind, and what can be done about each."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal

from wimtui import messages, upkeep_messages
from wimtui.screens.base import InnerScreen
from wimtui.screens.commit_ways import MANY_FILES, name_to_type
from wimtui.screens.confirm import ConfirmDialog
from wimtui.screens.save_as import SaveAsDialog
from wimtui.service.commits import CommitSettings
from wimtui.service.mounts import Disposition
from wimtui.service.recovery import Fit, Recoverable, Way
from wimtui.widgets.cells import count_text, exact_size_text
from wimtui.widgets.column_table import ColumnTable
from wimtui.widgets.fact_list import FactList
from wimtui.widgets.recoverable_table import RecoverableTable, recoverable_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.mounts import MountSummary

_NOTHING = "Nothing needs to be recovered. Escape goes back."
_WAYS = {
    "remount": Way.REMOUNT,
    "commit": Way.COMMIT,
    "save_as": Way.SAVE_AS,
    "discard": Way.DISCARD,
    "clear": Way.CLEAR,
    "trim": Way.TRIM,
}


class RecoverScreen(InnerScreen):
    """Dead mounts, staged changes without a mount, writes that were killed."""

    AUTO_FOCUS: ClassVar[str | None] = "#recoverables"
    BINDINGS: ClassVar = [
        Binding("R", "remount", "Remount", tooltip="Mount it again, with every change",
                id="recover.remount"),
        Binding("c", "commit", "Commit", tooltip="Write the changes to the WIM",
                id="recover.commit"),
        Binding("e", "save_as", "Save as", tooltip="Write WIM and changes to another file",
                id="recover.save_as"),
        Binding("x", "discard", "Discard", tooltip="Drop what is staged", id="recover.discard"),
        Binding("u", "clear", "Clear", tooltip="Free the mount point; changes stay staged",
                id="recover.clear"),
        Binding("t", "trim", "Cut", tooltip="Cut what a killed write left in the WIM",
                id="recover.trim", show=False),
        Binding("y", "copy_path", "Copy path", tooltip="Copy the path of the staging or the WIM",
                show=False, id="recover.copy"),
        Binding("i", "show_wim", "WIM", tooltip="Show the WIM and its images", show=False,
                id="recover.wim"),
        Binding("r", "refresh", "Refresh", tooltip="Look again", show=False,
                id="recover.refresh"),
    ]  # fmt: skip
    CHANGING: ClassVar[frozenset[str]] = frozenset(_WAYS)

    def __init__(
        self, bridge: Bridge, found: Sequence[Recoverable] = (), *, readonly: bool = False
    ) -> None:
        super().__init__(bridge, "Recover", readonly=readonly)
        self._found = tuple(found)
        self._known: frozenset[tuple[str, str]] | None = None

    def compose_content(self) -> ComposeResult:
        """The list left, what is known of one right or below."""
        with Horizontal(id="recover"):
            table = RecoverableTable(id="recoverables", hint="Looking…", classes="panel")
            table.border_title = "Needs a decision"
            yield table
            facts = FactList(id="recoverable-facts", classes="panel")
            facts.border_title = "What it is"
            yield facts

    def on_mount(self) -> None:
        """Show what is known, or look."""
        if self._found:
            self._show()
        else:
            self.bridge.recovery.read(self)

    def on_screen_resume(self) -> None:
        """Look again after another screen was on top."""
        if self._known is not None:
            self.bridge.recovery.read(self)

    def show_mounts(self, mounts: Sequence[MountSummary]) -> None:
        """Look again where something died, or is back."""
        known = frozenset(
            (mount.mount_id or mount.staging_path or mount.mount_point, mount.status.value)
            for mount in mounts
            if not mount.alive
        )
        # The first time too: something may have died since the screen began to look.
        if known != self._known:
            self.bridge.recovery.read(self)
        self._known = known

    @on(upkeep_messages.RecoverablesRead)
    def take_found(self, message: upkeep_messages.RecoverablesRead) -> None:
        """Show what needs a decision at this moment."""
        message.stop()
        # What other sessions have comes and goes, and is not for this one to decide.
        had_own = any(one.is_own for one in self._found)
        self._found = message.found
        if had_own and not any(one.is_own for one in message.found) and self.app.screen is self:
            self.app.pop_screen()
        else:
            self._show()

    def _show(self) -> None:
        table = self.query_one(RecoverableTable)
        table.now = self.bridge.services.now()
        table.show(list(self._found), _NOTHING)
        self._show_facts()

    @property
    def current(self) -> Recoverable | None:
        """What is under the cursor."""
        return self.query_one(RecoverableTable).current

    @on(ColumnTable.Highlighted)
    def row_highlighted(self) -> None:
        """Show another."""
        self._show_facts()

    def _show_facts(self) -> None:
        row = self.current
        now = self.bridge.services.now()
        facts = self.query_one("#recoverable-facts", FactList)
        facts.show([] if row is None else recoverable_facts(row, now))
        self.refresh_bindings()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what cannot be done about what is under the cursor."""
        if super().check_action(action, parameters) is None:
            return None
        if not self.is_mounted:
            return True
        row = self.current
        if action in _WAYS:
            return True if row is not None and _WAYS[action] in row.ways else None
        if action in ("copy_path", "show_wim"):
            return True if row is not None else None
        return True

    @on(ColumnTable.Selected)
    def chosen(self) -> None:
        """Do what is done first about it: mount it again, or clean the file."""
        row = self.current
        if row is None or self.readonly:
            return
        if Way.REMOUNT in row.ways:
            self.action_remount()
        elif Way.TRIM in row.ways:
            self.action_trim()

    def action_remount(self) -> None:
        """Mount it again."""
        if self.current is not None and self.current.summary is not None:
            self.post_message(upkeep_messages.Remount(self.current.summary))

    def action_commit(self) -> None:
        """Ask how to save the changes."""
        if self.current is not None and self.current.summary is not None:
            self.post_message(messages.CommitMount(self.current.summary))

    def action_save_as(self) -> None:
        """Ask for a path, and write WIM and changes there."""
        row = self.current
        if row is None or row.summary is None:
            return
        summary = row.summary

        def begin(path: object) -> None:
            if isinstance(path, str):
                self.bridge.commits.begin(summary, CommitSettings(save_as=path))
                self.post_message(messages.ShowJobs())

        wim = PurePath(row.wim_path)
        proposal = str(wim.with_name(f"{wim.stem}-recovered{wim.suffix}"))
        self.app.push_screen(SaveAsDialog(self.bridge, proposal), begin)

    def action_discard(self) -> None:
        """Drop what is staged, once that is confirmed."""
        row = self.current
        if row is None or row.summary is None:
            return
        summary = row.summary

        def discard(agreed: object) -> None:
            if agreed:
                self.bridge.mounts.unmount(self.app, summary, disposition=Disposition.DISCARD)

        dialog = ConfirmDialog(
            "Drop what is staged?", discard_question(row), verb="Discard", typed=_name_to_type(row)
        )
        self.app.push_screen(dialog, discard)

    def action_clear(self) -> None:
        """Free the mount point."""
        if self.current is not None and self.current.summary is not None:
            self.bridge.mounts.unmount(self.app, self.current.summary, disposition=Disposition.KEEP)

    def action_trim(self) -> None:
        """Cut what a killed write left."""
        if self.current is not None:
            self.bridge.recovery.trim(self.current.wim_path)

    def action_copy_path(self) -> None:
        """Copy where it is."""
        row = self.current
        if row is not None:
            self.post_message(messages.CopyText(row.staging_path or row.wim_path, "path"))

    def action_show_wim(self) -> None:
        """Show the WIM."""
        row = self.current
        if row is not None and os.path.exists(row.wim_path):  # noqa: PTH110
            self.post_message(messages.ShowArchive(row.wim_path))

    def action_refresh(self) -> None:
        """Look again."""
        self.bridge.recovery.read(self)

    def job_ended(self) -> None:
        """Look again: something may be done."""
        self.bridge.recovery.read(self)


def _name_to_type(row: Recoverable) -> str:
    """Return the name that a discard of much asks for; empty where little or nothing is lost."""
    if row.summary is None or row.fit is Fit.COMMITTED:
        return ""
    count = MANY_FILES + 1 if row.change_count is None else row.change_count
    return name_to_type(row.summary)[0] if count > MANY_FILES else ""


def discard_question(row: Recoverable) -> str:
    """Return what is lost, in words."""
    lines = [row.staging_path]
    if row.fit is Fit.COMMITTED:
        lines.append("Its changes are in the WIM already: nothing is lost.")
    elif row.change_count is None:
        lines.append("Nobody can say what is in it; all of it is lost for good.")
    elif not row.change_count:
        lines.append("Nothing was changed: nothing is lost.")
    else:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in row.kinds)
        size = exact_size_text(row.staged_nbytes or 0)
        what = count_text(row.change_count, "change")
        lines.append(f"{what} ({kinds or 'uncounted by kind'}), {size}, lost for good.")
    return "\n".join(lines)
