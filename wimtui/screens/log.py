"""The logs: the app's own, the commands', and each mount daemon's."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal

from wimtui import messages
from wimtui.screens.base import InnerScreen
from wimtui.widgets.cells import Cell, plain, plain_text
from wimtui.widgets.column_table import ColumnTable
from wimtui.widgets.log_table import LogRow, LogTable
from wimtui.widgets.text_view import TextView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.service.log_files import LogFile
    from wimtui.service.mounts import MountSummary
    from wimtui.widgets.cells import Tone

_LOOK_S = 1.0
_TONES: tuple[tuple[str, Tone], ...] = (
    (" ERROR ", "bad"),
    (" CRITICAL ", "bad"),
    (" WARNING ", "warn"),
    (" DEBUG ", "muted"),
)


class LogScreen(InnerScreen):
    """Log files left, the end of one right, followed as it grows."""

    AUTO_FOCUS: ClassVar[str | None] = "#logs"
    BINDINGS: ClassVar = [
        Binding("f", "follow", "Follow", tooltip="Keep the last line in view", id="log.follow"),
        Binding("w", "warnings", "Warnings only", tooltip="Leave out what is no warning",
                id="log.warnings"),
        Binding("y", "copy_path", "Copy path", tooltip="Copy the log's path", id="log.copy"),
    ]  # fmt: skip

    def __init__(self, bridge: Bridge, *, readonly: bool = False) -> None:
        super().__init__(bridge, "Log", readonly=readonly)
        self._files: tuple[LogFile, ...] = ()
        self._mounts: Sequence[MountSummary] = ()
        self._lines: tuple[str, ...] = ()
        self._follows = True
        self._warnings_only = False

    def compose_content(self) -> ComposeResult:
        """Files and text."""
        with Horizontal(id="log-screen"):
            logs = LogTable(id="logs", hint="No logs yet", classes="panel")
            logs.border_title = "Logs"
            yield logs
            text = TextView(id="log-text", classes="panel")
            text.border_title = "Log"
            yield text

    def on_mount(self) -> None:
        """Look, and keep looking."""
        self._mounts = getattr(self.app, "mounts", ())
        self.bridge.logs.list(self)
        self.set_interval(_LOOK_S, self._look)

    def _look(self) -> None:
        self.bridge.logs.list(self)
        self._read()

    def _read(self) -> None:
        row = self.query_one(LogTable).current
        if row is not None:
            self.bridge.logs.read(self, row.file.path)

    def show_mounts(self, mounts: Sequence[MountSummary]) -> None:
        """Name daemons' logs by their mount points."""
        self._mounts = mounts

    @on(messages.LogsListed)
    def take_files(self, message: messages.LogsListed) -> None:
        """Show the files."""
        self._files = message.files
        points = {mount.mount_id: mount.mount_point for mount in self._mounts}
        rows = [LogRow(file, points.get(file.mount_id, "")) for file in self._files]
        self.query_one(LogTable).show(rows)

    @on(ColumnTable.Highlighted, "#logs")
    def log_highlighted(self) -> None:
        """Read another file."""
        self._read()

    @on(messages.LogRead)
    def take_lines(self, message: messages.LogRead) -> None:
        """Show the end of a file."""
        row = self.query_one(LogTable).current
        if row is None or row.file.path != message.path:
            return
        view = self.query_one(TextView)
        title = plain(PurePath(message.path).name)
        if view.border_title == title and message.lines == self._lines:
            return
        view.border_title = title
        self._lines = message.lines
        self._draw()

    def _draw(self) -> None:
        view = self.query_one(TextView)
        cells = [_log_cell(line) for line in self._lines]
        if self._warnings_only:
            cells = [cell for cell in cells if cell.tone in ("bad", "warn")]
        view.show(cells or [Cell("nothing", "muted")], keep_place=not self._follows)
        if self._follows:
            view.scroll_end(animate=False)
        state = "following" if self._follows else "not following"
        view.border_subtitle = f"warnings only, {state}" if self._warnings_only else state

    def action_follow(self) -> None:
        """Keep the last line in view, or leave the place alone."""
        self._follows = not self._follows
        self._draw()

    def action_warnings(self) -> None:
        """Leave out what is no warning, or show all."""
        self._warnings_only = not self._warnings_only
        self._draw()

    def action_copy_path(self) -> None:
        """Copy the log's path."""
        row = self.query_one(LogTable).current
        if row is not None:
            self.post_message(messages.CopyText(row.file.path, "path"))


def _log_cell(line: str) -> Cell:
    for word, tone in _TONES:
        if word in line:
            return Cell(plain_text(line), tone)
    return Cell(plain_text(line))
