"""Jobs: what runs for long, how far it is, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import ProgressBar, Static

from wimtui.jobs import JobState
from wimtui.screens.base import Dialog
from wimtui.widgets.cells import plain
from wimtui.widgets.column_table import ColumnTable
from wimtui.widgets.job_table import JobTable, job_line, job_log
from wimtui.widgets.text_view import TextView

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult

    from wimtui.bridge import Bridge
    from wimtui.jobs import Job
    from wimtui.widgets.cells import Cell

_DRAW_S = 0.1


class JobsDialog(Dialog):
    """All jobs of this session; closing it stops none."""

    AUTO_FOCUS: ClassVar[str | None] = "#jobs-table"
    BINDINGS: ClassVar = [
        Binding("c,delete", "cancel", "Cancel job", tooltip="Stop the job under the cursor"),
        Binding("x", "clear", "Clear finished", tooltip="Take finished jobs off the list"),
    ]

    def __init__(self, bridge: Bridge, begun: Job | None = None) -> None:
        """Show the jobs.

        Args:
            bridge: The way to the jobs.
            begun: One to put the cursor on, and to close with if it ends well before any key.
        """
        super().__init__()
        self._bridge = bridge
        self._begun = begun
        self._shown_job = 0
        self._shown_log: list[Cell] = []

    def compose(self) -> ComposeResult:
        """The list, and the job under the cursor."""
        with Vertical(classes="dialog wide tall") as dialog:
            dialog.border_title = "Jobs"
            dialog.border_subtitle = "c cancels · x clears · esc leaves them running"
            hint = "Nothing runs. Commit, verify and extract work here."
            yield JobTable(id="jobs-table", hint=hint)
            with Vertical(id="job"):
                yield Static("", id="job-title", markup=False)
                yield ProgressBar(id="bar", show_eta=False, total=1.0)
                yield Static("", id="job-line", markup=False)
                yield Static("", id="job-path", markup=False)
                yield TextView(id="job-lines")

    def on_mount(self) -> None:
        """Draw ten times a second; the jobs themselves send nothing."""
        self._draw()
        table = self.query_one(JobTable)
        if self._begun is None or not table.move_to(self._begun.number):
            table.action_cursor_to(0)
        self.set_interval(_DRAW_S, self._draw)

    def on_key(self, _: events.Key) -> None:
        """Somebody looks, so stay."""
        self._begun = None

    def _draw(self) -> None:
        if self._begun is not None and self._begun.state is JobState.DONE and self.is_current:
            # Timers tick once more before a screen is gone.
            self._begun = None
            self.dismiss(None)
            return
        table = self.query_one(JobTable)
        table.now = self._bridge.services.now()
        table.show(list(reversed(self._bridge.jobs.jobs)))
        self._draw_job(table.current, table.now)

    def _draw_job(self, job: Job | None, now: float) -> None:
        self.query_one("#job").display = job is not None
        if job is None:
            return
        self._draw_log(job, now)
        done = 1.0 if job.state is JobState.DONE else job.progress.fraction
        known = job.progress.bytes_total or job.progress.items_total
        running = job.state is JobState.RUNNING
        self.query_one(ProgressBar).update(
            total=1.0 if known or not running else None, progress=done
        )
        line = self.query_one("#job-line", Static)
        line.update(plain(job_line(job, now)))
        line.set_class(job.state is JobState.FAILED, "bad")
        path = plain(job.progress.path) if running else ""
        self.query_one("#job-path", Static).update(path)

    def _draw_log(self, job: Job, now: float) -> None:
        is_other = job.number != self._shown_job
        if is_other:
            self._shown_job = job.number
            self.query_one("#job-title", Static).update(plain(job.title))
        lines = job_log(job, now)
        if lines != self._shown_log or is_other:
            view = self.query_one(TextView)
            follows = view.is_at_end and not is_other
            self._shown_log = lines
            view.show(lines, keep_place=not is_other)
            if follows:
                view.scroll_end(animate=False, immediate=True)

    @on(ColumnTable.Highlighted, "#jobs-table")
    def job_highlighted(self) -> None:
        """Show another job."""
        table = self.query_one(JobTable)
        self._draw_job(table.current, table.now)

    def action_cancel(self) -> None:
        """Stop the job."""
        job = self.query_one(JobTable).current
        if job is not None:
            self._bridge.jobs.cancel(job)

    def action_clear(self) -> None:
        """Take finished jobs off the list."""
        self._bridge.jobs.clear()
        self._draw()
