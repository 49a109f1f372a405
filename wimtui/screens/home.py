"""Home: every mount of this machine, live, and the WIMs in use or opened lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.markup import escape
from textual.widgets import Sparkline

from wimtui import messages, staging_messages, upkeep_messages
from wimtui.screens.base import WimtuiScreen
from wimtui.screens.capture import CaptureDialog, Capturing, begin_capture
from wimtui.widgets.column_table import ColumnTable
from wimtui.widgets.fact_list import FactList
from wimtui.widgets.mount_rows import KEPT_RATES, MountRow
from wimtui.widgets.mount_table import MountTable
from wimtui.widgets.wim_table import WimRow, WimTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.mounts import MountSummary
    from wimtui.service.recents import RecentWim

_NO_MOUNTS = "Nothing is mounted. Press o to open a WIM, m to mount one."
_NO_WIMS = "o opens a WIM"
_OF_MOUNTS = frozenset(
    {"unmount", "commit", "staging", "shell", "remount", "switch_mode", "switch_image"}
)


class HomeScreen(WimtuiScreen):
    """The first screen."""

    AUTO_FOCUS: ClassVar[str | None] = "#mounts"
    BINDINGS: ClassVar = [
        Binding("m", "mount", "Mount", tooltip="Mount an image of this WIM", id="home.mount"),
        Binding("u", "unmount", "Unmount", tooltip="End the mount, or clear a dead one",
                id="home.unmount"),
        Binding("c", "commit", "Commit", tooltip="Save what is staged", id="home.commit"),
        Binding("b", "browse", "Browse", tooltip="Look into the image", id="home.browse"),
        Binding("t", "staging", "Changes", tooltip="Show what has changed in the mount",
                id="home.staging"),
        Binding("s", "shell", "Shell", tooltip="Open a shell in the mount", id="home.shell"),
        Binding("o", "app.open_wim", "Open", tooltip="Open a WIM by its path", id="open"),
        Binding("y", "copy_path", "Copy path", tooltip="Copy the mount point or the WIM's path",
                show=False, id="home.copy"),
        Binding("i", "show_wim", "WIM", tooltip="Show the WIM and its images", show=False,
                id="home.wim"),
        Binding("R", "remount", "Remount", tooltip="Mount again what lost its daemon",
                id="home.remount"),
        Binding("w", "switch_mode", "Switch rw/ro",
                tooltip="Make the mount writable, or read-only", show=False, id="home.mode"),
        Binding("n", "switch_image", "Other image", tooltip="Mount another image there",
                show=False, id="home.image"),
        Binding("x", "forget", "Forget", tooltip="Forget the WIM, or drop what is staged",
                show=False, id="home.forget"),
        Binding("a", "capture", "Capture", tooltip="Capture a folder into a WIM", show=False,
                id="home.capture"),
        Binding("r", "refresh", "Refresh", tooltip="Look again", show=False, id="home.refresh"),
        Binding("q", "app.leave", "Quit", tooltip="Quit; mounts live on", id="quit"),
    ]  # fmt: skip
    CHANGING: ClassVar[frozenset[str]] = frozenset(
        {"mount", "unmount", "commit", "remount", "switch_mode", "switch_image", "capture"}
    )

    def __init__(self, bridge: Bridge, *, readonly: bool = False) -> None:
        super().__init__(bridge, "Home", readonly=readonly)
        self._rows: dict[str, MountRow] = {}
        self._recents: tuple[RecentWim, ...] = ()
        self._wanted = ""

    def compose_content(self) -> ComposeResult:
        """Mounts and their details left, WIMs right or below."""
        with Horizontal(id="home"):
            with Vertical(id="left"):
                mounts = MountTable(id="mounts", hint="Looking for mounts…", classes="panel")
                mounts.border_title = "Mounts"
                yield mounts
                with Vertical(id="mount-panel", classes="panel") as panel:
                    panel.border_title = "Mount"
                    yield FactList(id="mount-facts")
                    yield Sparkline([], id="reads")
            wims = WimTable(id="wims", hint=_NO_WIMS, classes="panel")
            wims.border_title = "WIMs"
            yield wims

    def on_mount(self) -> None:
        """Ask for what to show."""
        self.bridge.archives.read_recents(self)

    def on_screen_resume(self) -> None:
        """Look again after another screen was on top."""
        self.bridge.archives.read_recents(self)

    # Data

    def select_mount(self, mount_id: str) -> None:
        """Put the cursor on a mount as soon as it is listed."""
        self._wanted = mount_id

    def show_mounts(self, mounts: Sequence[MountSummary]) -> None:
        """Take in the latest list and ask the daemons of the rows on screen."""
        now = self.bridge.services.now()
        rows: dict[str, MountRow] = {}
        for summary in mounts:
            fresh = MountRow(summary, now)
            known = self._rows.get(fresh.key)
            if known is not None:
                known.summary, known.now = summary, now
            rows[fresh.key] = known or fresh
        self._rows = rows
        table = self.query_one(MountTable)
        table.show(list(rows.values()), _NO_MOUNTS)
        if self._wanted in rows:
            table.move_to(self._wanted)
            self._wanted = ""
        table.border_subtitle = _counts(rows.values())
        self.bridge.mounts.poll_activity(
            self, [row.summary.mount_id for row in table.visible_rows() if row.summary.alive]
        )
        self._show_wims()

    @on(messages.ActivityRead)
    def take_activity(self, message: messages.ActivityRead) -> None:
        """Show what a daemon said."""
        row = self._rows.get(message.mount_id)
        if row is None:
            return
        row.heard(message.activity, message.at)
        self.query_one(MountTable).refresh()
        if self._current_mount is row:
            self._show_details(row)

    @on(messages.RecentsRead)
    def take_recents(self, message: messages.RecentsRead) -> None:
        """Show the WIMs opened lately."""
        self._recents = message.wims
        self._show_wims()

    def _show_wims(self) -> None:
        counts: dict[str, int] = {}
        for row in self._rows.values():
            counts[row.summary.wim_path] = counts.get(row.summary.wim_path, 0) + 1
        recent = [one.path for one in self._recents]
        paths = [*sorted(counts), *(path for path in recent if path not in counts)]
        rows = [WimRow(path, counts.get(path, 0), path in recent) for path in paths]
        table = self.query_one(WimTable)
        table.show(rows)
        table.border_subtitle = f"{len(counts)} in use" if counts else ""

    @property
    def _current_mount(self) -> MountRow | None:
        return self.query_one(MountTable).current

    @property
    def _current_path(self) -> str:
        """The WIM that actions are about."""
        wims = self.query_one(WimTable)
        if wims.has_focus or self._current_mount is None:
            return wims.current.path if wims.current is not None else ""
        return self._current_mount.summary.wim_path

    @on(ColumnTable.Highlighted, "#mounts")
    def mount_highlighted(self) -> None:
        """Show the details of another mount."""
        self._show_details(self._current_mount)
        self.refresh_bindings()

    def on_descendant_focus(self) -> None:
        """Actions depend on where the focus is."""
        self.refresh_bindings()

    def _show_details(self, row: MountRow | None) -> None:
        panel = self.query_one("#mount-panel")
        facts = self.query_one("#mount-facts", FactList)
        sparkline = self.query_one(Sparkline)
        panel.display = row is not None
        if row is None:
            facts.show([])
            return
        facts.show(row.facts())
        sparkline.data = [0.0] * (KEPT_RATES - len(row.rates)) + list(row.rates)
        panel.border_title = escape(f"{row.wim_name} [{row.summary.image_index or '?'}]")
        panel.border_subtitle = "reads per second" if row.rates else ""

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what the selection cannot do."""
        if super().check_action(action, parameters) is None:
            return None
        if not self.is_mounted:
            return True
        in_wims = self.query_one(WimTable).has_focus
        row = self._current_mount
        if action == "shell" and self.readonly and row is not None and row.summary.mode != "ro":
            return None
        if action in _OF_MOUNTS:
            return None if in_wims or row is None else _is_possible(action, row)
        if action in ("browse", "show_wim", "copy_path"):
            return True if self._current_path else None
        if action == "forget":
            if in_wims:
                return True if self._current_path else None
            droppable = row is not None and row.is_left and bool(row.summary.staging_path)
            return True if droppable and not self.readonly else None
        return True

    @on(ColumnTable.Selected, "#wims")
    def wim_chosen(self) -> None:
        """Show a WIM."""
        self.action_show_wim()

    @on(ColumnTable.Selected, "#mounts")
    def mount_chosen(self) -> None:
        """Look into a mount."""
        self.action_browse()

    def action_show_wim(self) -> None:
        """Show the WIM."""
        if self._current_path:
            self.post_message(messages.ShowArchive(self._current_path))

    def action_browse(self) -> None:
        """Browse the mounted image, or choose one of the WIM's."""
        row = self._current_mount
        if row is None or self.query_one(WimTable).has_focus or not row.summary.image_index:
            self.action_show_wim()
            return
        summary = row.summary
        self.post_message(
            messages.ShowImage(summary.wim_path, summary.image_index, summary.references)
        )

    async def action_mount(self) -> None:
        """Mount an image of the WIM under the cursor, or choose a WIM first."""
        if self._current_path:
            self.post_message(messages.MountImage(self._current_path))
        else:
            await self.run_action("app.open_wim")

    def action_unmount(self) -> None:
        """End the mount."""
        if self._current_mount is not None:
            self.post_message(messages.EndMount(self._current_mount.summary))

    def action_staging(self) -> None:
        """Show what is staged."""
        if self._current_mount is not None:
            self.post_message(staging_messages.ShowStaging(self._current_mount.summary))

    def action_commit(self) -> None:
        """Save what is staged."""
        if self._current_mount is not None:
            self.post_message(messages.CommitMount(self._current_mount.summary))

    async def action_shell(self) -> None:
        """Open a shell in the mount."""
        row = self._current_mount
        if row is not None:
            self.post_message(messages.OpenShell(row.summary.mount_point))

    def action_copy_path(self) -> None:
        """Copy the path under the cursor."""
        row = self._current_mount
        path = self._current_path
        if row is not None and not self.query_one(WimTable).has_focus:
            path = row.summary.mount_point
        self.post_message(messages.CopyText(path, "path"))

    def action_forget(self) -> None:
        """Take a WIM off the list, or drop what a mount left staged."""
        row = self._current_mount
        if self.query_one(WimTable).has_focus:
            self.bridge.archives.forget(self, self._current_path)
        elif row is not None:
            self.post_message(messages.EndMount(row.summary, discards=True))

    def action_remount(self) -> None:
        """Mount again what lost its daemon."""
        if self._current_mount is not None:
            self.post_message(upkeep_messages.Remount(self._current_mount.summary))

    def action_switch_mode(self) -> None:
        """Make a mount writable, or read-only."""
        if self._current_mount is not None:
            summary = self._current_mount.summary
            wish = upkeep_messages.SwitchMount(summary, read_write=summary.mode == "ro")
            self.post_message(wish)

    def action_switch_image(self) -> None:
        """Ask which other image to mount there."""
        if self._current_mount is not None:
            self.post_message(upkeep_messages.ChooseImage(self._current_mount.summary))

    def action_capture(self) -> None:
        """Ask for a folder and a WIM, and make an image of the one in the other."""

        def begin(asked: object) -> None:
            if isinstance(asked, Capturing):
                begin_capture(self, self.bridge, asked)

        wim = self._current_path if self.query_one(WimTable).has_focus else ""
        self.app.push_screen(CaptureDialog(self.bridge, wim), begin)

    @on(upkeep_messages.WimWritten)
    def wim_written(self) -> None:
        """It may be one more."""
        self.bridge.archives.read_recents(self)

    def action_refresh(self) -> None:
        """Look again."""
        self.bridge.mounts.poll(self.app)
        self.bridge.archives.read_recents(self)


def _is_possible(action: str, row: MountRow) -> bool | None:
    """Return True, None for "not at this moment", or False for what such a mount never needs."""
    match action:
        case "unmount":
            return None if row.is_left and row.state == "detached" else True
        case "commit":
            is_quiet = row.is_left or row.state in {"ok", "dirty", "invalid"}
            return bool(row.summary.staging_path) and (is_quiet or None)
        case "staging":
            return bool(row.summary.staging_path)
        case "shell":
            return row.summary.alive
        case "remount":
            return row.can_remount
        case _:
            return True if row.is_settled else None


def _counts(rows: Iterable[MountRow]) -> str:
    shown = list(rows)
    texts = []
    if mounted := sum(row.summary.alive for row in shown):
        texts.append(f"{mounted} mounted")
    if lost := sum(row.can_remount for row in shown):
        texts.append(f"{lost} to recover, ctrl+r")
    return " · ".join(texts)
