"""The look of every screen and dialog, on the smallest terminal and on a wide one.

`make snapshots` accepts what has changed; look at each picture before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from tests.tui.driving import until, until_shown
from tests.tui.frozen import MOUNTS, WIM, FrozenServices
from wimtui import messages, staging_messages
from wimtui.app import WimtuiApp
from wimtui.screens.confirm import ConfirmDialog
from wimtui.screens.export import ExportDialog
from wimtui.screens.extract import ExtractDialog
from wimtui.screens.settings import SettingsDialog
from wimtui.screens.unmount import UnmountDialog
from wimtui.settings import Settings
from wimtui.widgets.change_table import ChangeTable
from wimtui.widgets.mount_table import MountTable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from textual.pilot import Pilot

    Compare = Callable[..., bool]
    Play = Callable[[Pilot[None]], Awaitable[None]]

SIZES = [(80, 24), (120, 36)]


async def settle(pilot: Pilot[None]) -> None:
    """Wait until everything asked was answered and drawn."""
    app = pilot.app
    assert isinstance(app, WimtuiApp)
    home = app.screen_stack[0]

    def is_whole() -> bool:
        rows = [row for table in home.query(MountTable) for row in table.rows]
        alive = [row for row in rows if row.summary.alive]
        return bool(rows) and all(row.activity is not None for row in alive)

    await until(pilot, is_whole, "mounts are shown")
    for _ in range(3):
        await pilot.pause(0.15)
        await until(pilot, lambda: app.bridge.is_idle, "idle")
    await pilot.pause()


async def home_screen(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await until_shown(pilot, "/mnt/windows")


async def wim_screen(pilot: Pilot[None]) -> None:
    pilot.app.post_message(messages.ShowArchive(WIM))
    await settle(pilot)
    await until_shown(pilot, "Windows 11 Pro for")


async def wim_filter(pilot: Pilot[None]) -> None:
    await wim_screen(pilot)
    await pilot.press("slash", "p", "r", "o")
    await settle(pilot)
    await until_shown(pilot, "Image 3")


async def browse_screen(pilot: Pilot[None]) -> None:
    pilot.app.post_message(messages.ShowImage(WIM, 1))
    await settle(pilot)
    await pilot.press("j", "j", "j", "right")
    await settle(pilot)
    await pilot.press("G", "k", "k")
    await settle(pilot)
    await until_shown(pilot, "Text, UTF-8")


async def browse_facts(pilot: Pilot[None]) -> None:
    await browse_screen(pilot)
    await pilot.press("p")
    await settle(pilot)
    await until_shown(pilot, "Short name")


async def mount_dialog(pilot: Pilot[None]) -> None:
    pilot.app.post_message(messages.MountImage(WIM, 3))
    await settle(pilot)
    await until_shown(pilot, "/mnt/install-3")


async def unmount_dialog(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, WimtuiApp)
    holders = app.bridge.services.holders_of(MOUNTS[0].mount_point)
    app.push_screen(UnmountDialog(app.bridge, MOUNTS[0], holders))
    await settle(pilot)
    await until_shown(pilot, "setupact.log")


async def confirm_dialog(pilot: Pilot[None]) -> None:
    question = "412 changed files of /mnt/windows are lost for good."
    pilot.app.push_screen(ConfirmDialog("Discard the changes?", question, verb="Discard"))
    await settle(pilot)
    await until_shown(pilot, "412 changed")


async def jobs_dialog(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, WimtuiApp)
    app.bridge.archives.verify(WIM, ())
    await until(pilot, lambda: not app.bridge.jobs.running)
    await pilot.press("J")
    await settle(pilot)
    app.clear_notifications()
    await settle(pilot)
    await until_shown(pilot, "Input/output error")


async def help_dialog(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await pilot.press("question_mark")
    await settle(pilot)
    await until_shown(pilot, "type to filter")


async def palette(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await pilot.press("ctrl+p")
    await settle(pilot)
    await until_shown(pilot, "Mount an image")


async def settings_dialog(pilot: Pilot[None]) -> None:
    path = "/home/ada/.config/wimtui/config.toml"
    pilot.app.push_screen(SettingsDialog(Settings(), path))
    await settle(pilot)
    await until_shown(pilot, "config.toml")


async def extract_dialog(pilot: Pilot[None]) -> None:
    from tests.tui.frozen import TREE

    app = pilot.app
    assert isinstance(app, WimtuiApp)
    app.push_screen(ExtractDialog(app.bridge, "/autounattend.xml", TREE[0][4]))
    await settle(pilot)
    box = app.screen.query_one("#folder", Input)
    box.value = "/home/ada/wims"
    # It began with the current folder, whose length differs between machines.
    box.cursor_position = len(box.value)
    await settle(pilot)
    await until_shown(pilot, "/home/ada/wims")


async def staging_screen(
    pilot: Pilot[None], path: str = "/Windows/System32/drivers/etc/hosts"
) -> None:
    mount = replace(MOUNTS[0], mode="rw", staging_path="/srv/images/install.wim.staging-1")
    pilot.app.post_message(staging_messages.ShowStaging(mount))
    await settle(pilot)
    screen = pilot.app.screen
    table = screen.query_one(ChangeTable)
    await until(pilot, lambda: table.rows, "changes are shown")
    assert table.move_to(path)
    await until(pilot, lambda: screen.query_one("#diff").border_subtitle == path, "compared")
    await settle(pilot)


async def staging_bytes(pilot: Pilot[None]) -> None:
    await staging_screen(pilot, "/Windows/System32/kernel32.dll")
    await pilot.press("enter")
    await settle(pilot)
    await until_shown(pilot, "patched")


async def staging_facts(pilot: Pilot[None]) -> None:
    await staging_screen(pilot)
    await pilot.press("p", "minus")
    await settle(pilot)
    await until_shown(pilot, "Below")


async def staging_restore(pilot: Pilot[None]) -> None:
    await staging_screen(pilot)
    assert pilot.app.screen.query_one(ChangeTable).move_to("/Windows/Panther")
    await pilot.press("r")
    await settle(pilot)
    await until_shown(pilot, "are undone")


async def export_dialog(pilot: Pilot[None]) -> None:
    await staging_screen(pilot)
    app = pilot.app
    assert isinstance(app, WimtuiApp)
    app.push_screen(ExportDialog(app.bridge, "/Windows", "3 added, 1 deleted, +1.2 M"))
    await settle(pilot)
    box = app.screen.query_one("#output", Input)
    box.value = "/home/ada/wims/changes.tar.gz"
    # It began with the current folder, whose length differs between machines.
    box.cursor_position = len(box.value)
    await settle(pilot)
    await until_shown(pilot, "/home/ada/wims")


async def log_screen(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await pilot.press("L")
    await settle(pilot)
    await pilot.press("j")
    await settle(pilot)
    await until_shown(pilot, "mount-1.log")


async def error_toast(pilot: Pilot[None]) -> None:
    await settle(pilot)
    pilot.app.post_message(
        messages.OperationFailed("open /srv/a.wim", "/srv/a.wim: not a WIM", "choose another", 43)
    )
    await settle(pilot)
    await until_shown(pilot, "not a WIM")


PLAYS = [
    home_screen, wim_screen, wim_filter, browse_screen, browse_facts, mount_dialog, unmount_dialog,
    confirm_dialog, jobs_dialog, help_dialog, palette, settings_dialog, extract_dialog, log_screen,
    error_toast,
    staging_screen, staging_bytes, staging_facts, staging_restore, export_dialog,
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_look(snap_compare: Compare, home: Path, play: Play, size: tuple[int, int]) -> None:
    app = WimtuiApp(services=FrozenServices(), user_settings=Settings())
    assert snap_compare(app, terminal_size=size, run_before=play)


@pytest.mark.parametrize("theme", ["wimtui-light", "wimtui-contrast"])
def test_themes(snap_compare: Compare, home: Path, theme: str) -> None:
    app = WimtuiApp(services=FrozenServices(), user_settings=Settings(theme=theme))
    assert snap_compare(app, terminal_size=(120, 36), run_before=home_screen)


def test_without_colours(
    snap_compare: Compare, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = WimtuiApp(services=FrozenServices(), user_settings=Settings())
    assert snap_compare(app, terminal_size=(80, 24), run_before=home_screen)
