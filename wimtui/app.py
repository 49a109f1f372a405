"""The app: screens, themes, what keys do everywhere, and what comes of the screens' wishes."""

from __future__ import annotations

import gc
import logging
import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlparse

from textual import on
from textual.binding import Binding

from wimtui import logs, messages, settings, upkeep_messages
from wimtui.bridge.mounts import LIST_MOUNTS
from wimtui.jobs import JobState
from wimtui.screens.archive import ArchiveScreen
from wimtui.screens.base import WimtuiScreen
from wimtui.screens.help import HelpDialog, key_rows
from wimtui.screens.home import HomeScreen
from wimtui.screens.log import LogScreen
from wimtui.screens.open_wim import OpenDialog
from wimtui.screens.palette import ActionsProvider
from wimtui.screens.settings import SettingsDialog
from wimtui.service.frontend import Services
from wimtui.themes import LIKE, THEMES
from wimtui.widgets.cells import plain
from wimtui.widgets.title_bar import TitleBar
from wimtui.wishes import WishingApp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.screen import Screen

    from wimtui.jobs import Job
    from wimtui.service.mounts import MountSummary
    from wimtui.settings import Settings

log = logging.getLogger(__name__)

_POLL_S = 1.0
_TIDY_S = 0.1
_WIM_SUFFIXES = (".wim", ".swm", ".esd")


class WimtuiApp(WishingApp):
    """The whole app."""

    TITLE = "wimtui"
    CSS_PATH = "app.tcss"
    COMMANDS: ClassVar = {ActionsProvider}
    BINDINGS: ClassVar = [
        Binding("question_mark,f1", "help", "Help", tooltip="All keys", id="help"),
        Binding("L", "log", "Log", show=False, tooltip="The logs of app and daemons", id="log"),
        Binding("J", "jobs", "Jobs", show=False, tooltip="Running and finished jobs", id="jobs"),
        Binding("ctrl+r", "recover", "Recover", show=False,
                tooltip="What crashes and kills left behind", id="recover"),
        Binding("comma", "settings", "Settings", show=False, tooltip="Theme and defaults",
                id="settings"),
        Binding("ctrl+q", "leave", "Quit", show=False, tooltip="Quit; mounts live on",
                id="quit.anywhere"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False,
                tooltip="Back to the shell until fg", id="suspend"),
    ]  # fmt: skip

    def __init__(
        self,
        wims: Sequence[str] = (),
        *,
        readonly: bool = False,
        services: Services | None = None,
        user_settings: Settings | None = None,
    ) -> None:
        """Make the app.

        Args:
            wims: Paths of WIMs to open.
            readonly: Allow no change: nothing is mounted, unmounted or extracted.
            services: What does the work.
            user_settings: Settings in place of those in the user's file.
        """
        super().__init__(
            services or Services(), user_settings or settings.load(), readonly=readonly
        )
        self._wims = tuple(os.path.abspath(path) for path in wims)  # noqa: PTH100 - links stay
        self.last_wim = self._wims[0] if self._wims else ""
        self._is_list_broken = False
        self._home = HomeScreen(self.bridge, readonly=readonly)

    # Life

    def get_css_variables(self) -> dict[str, str]:
        """Complete the colours of themes that are not the app's own."""
        variables = super().get_css_variables()
        for name, like in LIKE.items():
            variables.setdefault(name, variables[like])
        return variables

    def get_default_screen(self) -> Screen[None]:
        """Home is what all other screens lie upon."""
        return self._home

    def on_mount(self) -> None:
        """Begin to look at mounts, and open what the command line names."""
        for theme in THEMES:
            self.register_theme(theme)
        known = self.settings.theme in self.available_themes
        self.theme = self.settings.theme if known else settings.DEFAULT_THEME
        self.set_keymap(dict(self.settings.keys))
        if not self.is_headless:
            logs.set_up_app()
            self.bridge.catch_signals()
        calm_interpreter()
        self.bridge.mounts.poll(self)
        self.set_interval(_POLL_S, lambda: self.bridge.mounts.poll(self))
        self.set_interval(_TIDY_S, tidy)
        self.bridge.recovery.read(self)
        for path in reversed(self._wims):
            self.push_screen(ArchiveScreen(self.bridge, path, readonly=self.readonly))

    def on_unmount(self) -> None:
        """Let jobs clear up."""
        gc.enable()
        self.bridge.stop()

    def action_leave(self) -> None:
        """Quit, and say what lives on."""
        self.exit(message=farewell(self.mounts, self.bridge.jobs.jobs))

    @on(messages.AskedToEnd)
    def end(self) -> None:
        """End in order; mounts live on."""
        log.info("asked to end by a signal")
        self.action_leave()

    # What services say

    @on(messages.MountsListed)
    def take_mounts(self, message: messages.MountsListed) -> None:
        """Tell every screen what is mounted."""
        self.mounts = message.mounts
        self._is_list_broken = False
        self.bridge.commits.notice(message.mounts)
        self._show_job_count()
        if not self.is_running:
            return
        for screen in self.screen_stack:
            if isinstance(screen, WimtuiScreen) and screen.is_mounted and screen.display:
                screen.show_mounts(self.mounts)

    @on(messages.OperationFailed)
    def say_failure(self, message: messages.OperationFailed) -> None:
        """Say what went wrong, why, and what to do; of what is tried every second only once."""
        if message.doing == LIST_MOUNTS:
            if self._is_list_broken:
                return
            self._is_list_broken = True
        self.complain(f"Cannot {message.doing}", message.cause, message.hint)

    @on(messages.Mounted)
    def mounted(self, message: messages.Mounted) -> None:
        """Say so, and look again."""
        self.say(message.summary.mount_point, "Mounted")
        self._home.select_mount(message.summary.mount_id)
        self.bridge.mounts.poll(self)

    @on(messages.Unmounted)
    def unmounted(self, message: messages.Unmounted) -> None:
        """Say so, and look again."""
        where = message.summary.mount_point or message.summary.staging_path
        self.say(where + (f"; {message.note}" if message.note else ""), "Unmounted")
        self.bridge.mounts.poll(self)

    @on(upkeep_messages.MountReplaced)
    def mount_replaced(self, message: upkeep_messages.MountReplaced) -> None:
        """Go to what is mounted in its place; the job says the rest."""
        self._home.select_mount(message.summary.mount_id)
        self.bridge.mounts.poll(self)

    @on(messages.JobStarted)
    def job_started(self) -> None:
        """Count it."""
        self._show_job_count()

    @on(messages.JobEnded)
    def job_ended(self, message: messages.JobEnded) -> None:
        """Say how it went, and look again: it may have changed a mount."""
        self._show_job_count()
        self.bridge.mounts.poll(self)
        for screen in self.screen_stack:
            if isinstance(screen, WimtuiScreen) and screen.is_mounted:
                screen.job_ended()
        job = message.job
        severity = "information" if job.state is JobState.DONE else "warning"
        if job.state is JobState.FAILED:
            severity = "error"
        self.notify(
            plain(job.summary),
            title=plain(job.title),
            severity=severity,  # type: ignore[arg-type]
            markup=False,
        )

    def _show_job_count(self) -> None:
        if not self.is_running:
            return
        for screen in self.screen_stack:
            for bar in screen.query(TitleBar):
                bar.set_jobs(self.bridge.jobs.running)

    def on_paste(self, event: events.Paste) -> None:
        """Open a WIM whose path was pasted, or dropped on the terminal."""
        path = pasted_path(event.text)
        if path:
            event.stop()
            self.post_message(messages.ShowArchive(path))

    # Actions

    def action_open_wim(self) -> None:
        """Ask for a WIM and show it."""

        def opened(path: object) -> None:
            if isinstance(path, str):
                self.post_message(messages.ShowArchive(path))

        folder = str(Path(self.last_wim).parent) if self.last_wim else str(Path.cwd())
        self.push_screen(OpenDialog(self.bridge, folder), opened)

    def action_help(self) -> None:
        """Show all keys."""
        if isinstance(self.screen, HelpDialog):
            return
        rows = key_rows(self, self.screen.active_bindings.values(), self.screen)
        self.push_screen(HelpDialog(rows))

    def action_log(self) -> None:
        """Show the logs."""
        if not isinstance(self.screen, LogScreen):
            self.push_screen(LogScreen(self.bridge, readonly=self.readonly))

    def action_recover(self) -> None:
        """Show what needs a decision."""
        self.show_recover()

    def action_jobs(self) -> None:
        """Show the jobs."""
        self.show_jobs()

    def action_settings(self) -> None:
        """Change settings and keep them."""

        def chosen(changed: object) -> None:
            if isinstance(changed, settings.Settings):
                self.settings = changed
                self._save_settings()

        if not isinstance(self.screen, SettingsDialog):
            path = str(settings.settings_path())
            self.push_screen(SettingsDialog(self.settings, path), chosen)

    def _save_settings(self) -> None:
        try:
            settings.save(self.settings)
        except OSError as error:
            self.complain("Cannot save the settings", error.strerror or str(error))
        else:
            self.say("", "Settings saved")


def calm_interpreter() -> None:
    """Keep threads that work, and the collector, from holding up the screen.

    With 100,000 names in memory a full collection takes 100 to 200 ms, and those of the young
    took 5 to 15 ms of every large step, such as a screen that opens. So the app collects what is
    young between its steps, by `tidy`, and never the rest. Threads give way five times as often
    as by default.
    """
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(0.001)


def tidy() -> None:
    """Free what is young and not needed any more."""
    gc.collect(1)


def farewell(mounts: Sequence[MountSummary], jobs: Sequence[Job] = ()) -> str | None:
    """Return what to print when the app ends, None where nothing goes on and nothing is stopped."""
    lines: list[str] = []
    running = [job for job in jobs if job.state is JobState.RUNNING]
    for job in running:
        if job.survives:
            lines.append(f"wimtui: goes on, as the mount's daemon does it: {plain(job.title)}")
        else:
            lines.append(f"wimtui: stopped, and nothing is left of it: {plain(job.title)}")
    if any(job.survives for job in running):
        lines.append("wimtui watch DIR tells how far it is")
    told = {job.subject for job in running}
    alive = [mount for mount in mounts if mount.alive and mount.mount_id not in told]
    if not alive:
        return "\n".join(lines) or None
    count = "1 mount stays" if len(alive) == 1 else f"{len(alive)} mounts stay"
    lines.append(f"wimtui: {count} as {'they are' if len(alive) > 1 else 'it is'}:")
    lines += [f"  {plain(mount.mount_point)}" for mount in alive]
    return "\n".join([*lines, "wimtui mounts lists them, wimtui unmount DIR ends one"])


def pasted_path(text: str) -> str:
    """Return the path of an existing WIM that a paste names; quotes and file: URIs are known."""
    stripped = text.strip()
    candidates = [stripped]
    with suppress(ValueError):
        candidates += shlex.split(stripped)[:1]
    for candidate in candidates:
        path = unquote(urlparse(candidate).path) if candidate.startswith("file:") else candidate
        known = Path(path).expanduser()
        if "\n" not in path and known.suffix.lower() in _WIM_SUFFIXES and known.is_file():
            return str(known.absolute())
    return ""
