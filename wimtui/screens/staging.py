"""Staging: what has changed in a mount, live, or what a mount has left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.markup import escape
from textual.screen import ModalScreen
from textual.widgets import Input

from wimtui import messages, staging_messages
from wimtui.screens.base import InnerScreen
from wimtui.screens.confirm import ConfirmDialog
from wimtui.screens.export import ExportDialog
from wimtui.widgets.cells import plain, size_text
from wimtui.widgets.change_facts import diff_facts, node_facts
from wimtui.widgets.change_table import ChangeTable, totals_text
from wimtui.widgets.change_view import ChangeView
from wimtui.widgets.column_table import ColumnTable
from wimtui.widgets.fact_list import FactList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.timer import Timer

    from wimtui.bridge import Bridge
    from wimtui.service.change_tree import ChangeNode, ChangeTree
    from wimtui.service.changes import ChangeList
    from wimtui.service.mounts import MountSummary

_POLL_S = 0.4
"""Who has to be told of a change within a second has to ask more often."""

_PAUSE_S = 0.06
"""The cursor has to rest this long before a file is compared."""

_NO_CHANGES = "Nothing has changed."
_OVER = "This mount has ended; nothing of it is staged. Escape goes back."
_ON_CHANGE = frozenset({"restore", "view", "edit", "copy_path"})
_VARYING = (*sorted(_ON_CHANGE), "export", "commit", "unmount", "shell")


class StagingScreen(InnerScreen):
    """The changes of one mount."""

    AUTO_FOCUS: ClassVar[str | None] = "#changes"
    BINDINGS: ClassVar = [
        Binding("slash", "filter", "Filter", tooltip="Show only paths that hold a text",
                id="staging.filter"),
        Binding("r", "restore", "Restore", tooltip="Undo the changes under the cursor",
                id="staging.restore"),
        Binding("e", "export", "Export", tooltip="Write changes to an archive or a folder",
                id="staging.export"),
        Binding("v", "view", "View", tooltip="Open the file in $PAGER", id="staging.view"),
        Binding("E", "edit", "Edit", tooltip="Open the file in $EDITOR", show=False,
                id="staging.edit"),
        Binding("p", "panel", "Facts", tooltip="Show the diff or the facts",
                id="staging.panel"),
        Binding("c", "commit", "Commit", tooltip="Save what is staged", id="staging.commit"),
        Binding("u", "unmount", "Unmount", tooltip="End the mount", id="staging.unmount"),
        Binding("s", "shell", "Shell", tooltip="Open a shell in the mount", show=False,
                id="staging.shell"),
        Binding("y", "copy_path", "Copy path", tooltip="Copy the path in the mount, or the image",
                show=False, id="staging.copy"),
    ]  # fmt: skip
    CHANGING: ClassVar[frozenset[str]] = frozenset(
        {"restore", "export", "edit", "commit", "unmount", "shell"}
    )

    def __init__(self, bridge: Bridge, mount: MountSummary, *, readonly: bool = False) -> None:
        where = plain(mount.mount_point or mount.staging_path)
        super().__init__(bridge, f"Changes in {where}", readonly=readonly)
        self.mount_summary = mount
        self._listed: ChangeList | None = None
        self._tree: ChangeTree | None = None
        self._shown: tuple[str, str] | None = None
        """Path and revision of the comparison on screen."""
        self._asked: tuple[str, str] | None = None
        self._timer: Timer | None = None
        self._allowed: tuple[bool | None, ...] = ()

    def compose_content(self) -> ComposeResult:
        """The tree left, the diff and the facts right or below."""
        with Horizontal(id="staging"):
            with Vertical(id="left"):
                table = ChangeTable(id="changes", hint="Reading the changes…", classes="panel")
                table.border_title = "Changes"
                yield table
                yield Input(placeholder="part of a path", id="change-filter", compact=True)
            with Vertical(id="right"):
                view = ChangeView(id="diff", classes="panel")
                view.border_title = "Diff"
                yield view
                facts = FactList(id="change-facts", classes="panel")
                facts.border_title = "Facts"
                yield facts

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#change-filter").display = False
        self._poll()
        self.set_interval(_POLL_S, self._poll)

    # What is staged

    @property
    def target(self) -> str:
        """What services know the mount by: its id while it lives, then its staging folder."""
        mount = self.mount_summary
        return mount.mount_id if mount.alive and mount.mount_id else mount.staging_path

    def _poll(self) -> None:
        is_covered = not (self.is_current or isinstance(self.app.screen, ModalScreen))
        if self.target and not (is_covered and self._listed is not None):
            self.bridge.stagings.poll(self, self.target, self._listed)

    def show_mounts(self, mounts: Sequence[MountSummary]) -> None:
        """Follow the mount from life to what it leaves, and back."""
        mine = self.mount_summary
        for mount in mounts:
            same = mount.mount_id == mine.mount_id if mine.mount_id else False
            if same or (mine.staging_path and mount.staging_path == mine.staging_path):
                if mount != mine:
                    self.mount_summary = mount
                    self._refresh_actions()
                return

    @on(staging_messages.ChangesListed)
    def take_changes(self, message: staging_messages.ChangesListed) -> None:
        """Show what is staged, in place of what was."""
        if message.target != self.target:
            return
        if message.tree is not None:
            self._tree = message.tree
        elif self._tree is None or message.before is not self._listed:
            return
        else:
            self._tree.apply(message.removed, message.added)
        self._listed = message.listed
        table = self.query_one(ChangeTable)
        table.set_tree(self._tree, _NO_CHANGES)
        root = self._tree.root
        table.border_subtitle = totals_text(root)
        state = "live" if message.listed.is_alive else "not mounted"
        staged = f", {size_text(message.listed.staged_nbytes)} staged" if root.count else ""
        table.border_title = f"Changes ({state}{staged})"
        self._refresh_actions()

    @on(staging_messages.ChangesUnreadable)
    def take_problem(self, message: staging_messages.ChangesUnreadable) -> None:
        """Say why nothing can be told; a mount that has ended has nothing any more."""
        if message.target != self.target:
            return
        table = self.query_one(ChangeTable)
        if self._tree is not None and not message.is_over:
            # What was seen last stays, with the cursor in it: the next look may well succeed.
            table.border_title = escape(f"Changes (as of before: {plain(message.cause)})")
            return
        self._listed = self._tree = None
        table.clear(_OVER if message.is_over else plain(message.cause))
        table.border_title = "Changes"
        table.border_subtitle = ""
        view = self.query_one(ChangeView)
        why = message.cause + (f" → {message.hint}" if message.hint else "")
        view.show_problem("" if message.is_over else why)
        view.border_subtitle = ""
        self.query_one("#change-facts", FactList).show([])
        self._shown = None
        self._refresh_actions()

    # What is under the cursor

    @property
    def node(self) -> ChangeNode | None:
        """The row under the cursor."""
        return self.query_one(ChangeTable).current

    @on(ColumnTable.Highlighted, "#changes")
    def row_highlighted(self) -> None:
        """Compare a file once the cursor rests on it."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_PAUSE_S, self._compare)
        self._refresh_actions()

    def _compare(self) -> None:
        node = self.node
        view, facts = self.query_one(ChangeView), self.query_one("#change-facts", FactList)
        if node is None:
            if self._listed is not None:
                view.show_problem("")
                view.border_subtitle = ""
                facts.show([])
                self._shown = None
            return
        revision = "" if self._listed is None else self._listed.revision
        wanted = (node.path, revision)
        if wanted == self._shown or self._asked is not None:
            return
        if node.change is None or node.children:
            is_same = self._shown is not None and self._shown[0] == node.path
            self._shown = wanted
            facts.show(node_facts(node))
            view.show_folder(node, keep_place=is_same)
            view.border_subtitle = escape(plain(node.path))
            return
        self._asked = wanted
        self.bridge.stagings.compare(self, self.target, *wanted)

    @on(staging_messages.PathCompared)
    def take_comparison(self, message: staging_messages.PathCompared) -> None:
        """Show a comparison, and ask for the next if the cursor or the changes have gone on."""
        self._asked = None
        node = self.node
        if node is None:
            return
        if node.path == message.path:
            is_same = self._shown is not None and self._shown[0] == message.path
            self._shown = (message.path, message.revision)
            view, facts = self.query_one(ChangeView), self.query_one("#change-facts", FactList)
            view.border_subtitle = escape(plain(message.path))
            if message.diff is None:
                view.show_problem(message.problem)
                facts.show(node_facts(node))
            else:
                view.show_diff(message.diff, keep_place=is_same)
                facts.show(diff_facts(node, message.diff))
        self._compare()

    @on(ColumnTable.Selected, "#changes")
    def change_chosen(self) -> None:
        """Go into the diff."""
        self.remove_class("-facts")
        self.query_one(ChangeView).focus()

    def action_panel(self) -> None:
        """Show the other panel where there is room for one."""
        self.toggle_class("-facts")

    def _refresh_actions(self) -> None:
        """Have the hints drawn again, which takes 20 ms, only where one is another."""
        allowed = tuple(self.check_action(action, ()) for action in _VARYING)
        if allowed != self._allowed:
            self._allowed = allowed
            self.refresh_bindings()

    # Filter

    def action_filter(self) -> None:
        """Begin to type a part of a path."""
        box = self.query_one("#change-filter", Input)
        box.display = True
        box.focus()

    @on(Input.Changed, "#change-filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """Show what matches."""
        self.query_one(ChangeTable).set_filter(event.value.strip())

    @on(Input.Submitted, "#change-filter")
    def filter_submitted(self) -> None:
        """Go to what matches."""
        self.query_one(ChangeTable).focus()

    def action_back(self) -> None:
        """End the filter, leave the diff, or go back."""
        box = self.query_one("#change-filter", Input)
        if box.display:
            box.value = ""
            box.display = False
            self.query_one(ChangeTable).focus()
        elif self.query_one(ChangeView).has_focus:
            self.query_one(ChangeTable).focus()
        else:
            super().action_back()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what the row, or the mount, cannot do."""
        if super().check_action(action, parameters) is None:
            return None
        if not self.is_mounted:
            return True
        node = self.node
        is_alive = self.mount_summary.alive
        if action in _ON_CHANGE and node is None:
            return None
        if action == "view":
            return None if node is None or node.is_folder else True
        if action == "edit":
            is_there = node is not None and not node.is_folder and _is_there(node)
            return True if is_there and is_alive else None
        if action in ("shell", "unmount"):
            return True if is_alive else None
        if action in ("commit", "export"):
            return True if self.query_one(ChangeTable).rows else None
        return True

    def action_restore(self) -> None:
        """Ask, then undo what is staged under the cursor."""
        node = self.node
        if node is None:
            return
        path, target = node.path, self.target

        def answered(is_sure: object) -> None:
            if is_sure:
                self.bridge.stagings.restore(self, target, path)

        self.app.push_screen(
            ConfirmDialog("Restore?", _restore_question(node), verb="Restore"), answered
        )

    @on(staging_messages.PathRestored)
    def take_restored(self, message: staging_messages.PathRestored) -> None:
        """Say so, and look again."""
        self.notify(plain(message.path), title="As in the image again", markup=False)
        self._poll()

    def action_export(self) -> None:
        """Ask where to, then write the changes out: those under the cursor, or all."""
        node = self.node
        if node is None:
            return
        target = self.target
        while node.parent is not None and not node.children:
            node = node.parent
        path, what = node.path, totals_text(node)

        def begin(output: object) -> None:
            if isinstance(output, str):
                self.bridge.stagings.export(target, path, output)
                self.post_message(messages.ShowJobs())

        self.app.push_screen(ExportDialog(self.bridge, path, what), begin)

    def _open(self, *, editor: bool) -> None:
        node = self.node
        if node is None or node.change is None:
            return
        if self.mount_summary.alive and _is_there(node):
            path = self.mount_summary.mount_point.rstrip("/") + node.path
            self.post_message(messages.OpenFile(path, editor=editor))
        else:
            before = not _is_there(node)
            self.bridge.stagings.view(self, self.target, node.path, before=before)

    def action_view(self) -> None:
        """Open the file in the pager; what was deleted as the image has it."""
        self._open(editor=False)

    def action_edit(self) -> None:
        """Open the file in the editor."""
        self._open(editor=True)

    def action_commit(self) -> None:
        """Save what is staged."""
        self.post_message(messages.CommitMount(self.mount_summary))

    def action_unmount(self) -> None:
        """End the mount."""
        self.post_message(messages.EndMount(self.mount_summary))

    def action_shell(self) -> None:
        """Open a shell in the mount."""
        self.post_message(messages.OpenShell(self.mount_summary.mount_point))

    def action_copy_path(self) -> None:
        """Copy the path of the file in the mount, or in the image where there is none."""
        node = self.node
        if node is not None:
            is_there = self.mount_summary.alive and _is_there(node)
            point = self.mount_summary.mount_point.rstrip("/") if is_there else ""
            self.post_message(messages.CopyText(point + node.path, "path"))


def _is_there(node: ChangeNode) -> bool:
    return node.change is None or node.change.kind != "deleted"


def _restore_question(node: ChangeNode) -> str:
    change = node.change
    name = plain(node.path)
    if node.count > 1 or change is None:
        return (
            f"{totals_text(node)}\n\nAll {node.count:,} changes at {name} and below it are undone:"
            " what was added is gone for good, the rest is as the image has it."
        )
    match change.kind:
        case "added":
            return f"{name} is not in the image: it is removed for good."
        case "deleted":
            return f"{name} comes back as the image has it."
        case "renamed":
            old = plain(change.old_path or "")
            return f"{name} becomes {old} again, as the image has it. Changes to it are lost."
        case _:
            return f"{name} becomes what the image has. Changes to it are lost."
