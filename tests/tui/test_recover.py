"""Recover: it opens by itself where something needs a decision, and every way out works."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Button, Input

from tests.live import wait_for
from tests.tui.driving import (
    Mounter,
    drive,
    is_mounted,
    make_app,
    screen_text,
    type_text,
    until,
    until_shown,
)
from tests.tui.writable import Writable
from wimtui.control.processes import start_ticks
from wimtui.screens.commit import CommitDialog
from wimtui.screens.commit_ways import MANY_FILES
from wimtui.screens.confirm import ConfirmDialog
from wimtui.screens.home import HomeScreen
from wimtui.screens.recover import RecoverScreen
from wimtui.screens.save_as import SaveAsDialog
from wimtui.service import archives, mounts, stagings
from wimtui.service.recents import remember_wim
from wimtui.widgets.recoverable_table import RecoverableTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.pilot import Pilot

SIZE = (99, 40)
"""Narrow, so that facts have a whole line."""

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]


@pytest.fixture
def changed(wim: Path, mounter: Mounter) -> Iterator[Writable]:
    """A read-write mount with one new file."""
    made = Writable(mounter, wim)
    made.write("added.txt", b"safe\n")
    yield made
    made.end()


def kill(point: Path) -> None:
    """Kill a daemon as nothing can survive."""
    pid = mounts.find_mount(str(point)).pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: start_ticks(pid) is None, "the end of the daemon")


async def opened(pilot: Pilot[None], text: str) -> RecoverScreen:
    """Wait for the screen with what it is about, and put the cursor there."""
    await until(pilot, lambda: isinstance(pilot.app.screen, RecoverScreen), "it opens")
    screen = pilot.app.screen
    assert isinstance(screen, RecoverScreen)
    table = screen.query_one(RecoverableTable)

    def key() -> str | None:
        found = (row for row in table.rows if text in (row.mount_point, row.wim_path))
        return next((row.target for row in found), None)

    await until(pilot, key, f"{text} is listed")
    table.move_to(key())
    await until(pilot, lambda: screen.current is not None and screen.current.target == key())
    await pilot.pause()
    return screen


def test_a_killed_mount_comes_back_with_its_changes(changed: Writable) -> None:
    kill(changed.path)

    async def scenario(pilot: Pilot[None]) -> None:
        await opened(pilot, str(changed.path))
        await until_shown(pilot, "every change is safe")
        assert "1 added" in screen_text(pilot)
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen), "all is decided")
        await until_shown(pilot, "dirty")
        assert (changed.path / "added.txt").read_bytes() == b"safe\n"
        assert changed.changes() == ["/added.txt"]

    drive(make_app(), scenario, size=SIZE)


def test_what_was_kept_is_mounted_again(changed: Writable) -> None:
    changed.keep()

    async def scenario(pilot: Pilot[None]) -> None:
        await opened(pilot, str(changed.path))
        await until_shown(pilot, "its changes were kept")
        await pilot.press("enter")
        await until(pilot, lambda: is_mounted(changed.path), "it is mounted")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen), "all is decided")
        assert (changed.path / "added.txt").read_bytes() == b"safe\n"

    drive(make_app(), scenario, size=SIZE)


def test_a_discard_says_what_is_lost(changed: Writable) -> None:
    changed.keep()

    async def scenario(pilot: Pilot[None]) -> None:
        await opened(pilot, str(changed.path))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "it asks")
        await until_shown(pilot, "1 change (1 added)")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, RecoverScreen))
        assert len(changed.stagings()) == 1
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "it asks")
        await pilot.press("y")
        await until(pilot, lambda: not changed.stagings(), "it is gone")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen), "all is decided")

    drive(make_app(), scenario, size=SIZE)


def test_a_large_discard_wants_the_name_of_the_mount_point(changed: Writable) -> None:
    for number in range(MANY_FILES):
        changed.write(f"{number}.txt", b"x")
    changed.keep()

    async def scenario(pilot: Pilot[None]) -> None:
        await opened(pilot, str(changed.path))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "it asks")
        await until_shown(pilot, f"{MANY_FILES + 1} changes")
        await pilot.press("y", "enter")
        await pilot.pause()
        assert pilot.app.screen.query_one("#yes", Button).disabled
        await pilot.press("backspace")
        await type_text(pilot, changed.path.name)
        await pilot.press("enter")
        await until(pilot, lambda: not changed.stagings(), "it is gone")

    drive(make_app(), scenario, size=SIZE)


def test_changes_are_saved_as_another_wim(changed: Writable, wim: Path) -> None:
    changed.keep()
    before = wim.read_bytes()
    other = wim.with_name("other.wim")

    async def scenario(pilot: Pilot[None]) -> None:
        await opened(pilot, str(changed.path))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, SaveAsDialog), "it asks")
        box = pilot.app.screen.query_one("#save-path", Input)
        assert box.value == str(wim.with_name("sample-recovered.wim"))
        box.value = str(wim)
        await pilot.press("enter")
        await until_shown(pilot, "it exists")
        box.value = str(other)
        await pilot.press("enter")
        await until(pilot, other.exists, "it is written")
        await until_shown(pilot, "● done")

    drive(make_app(), scenario, size=SIZE)
    assert wim.read_bytes() == before
    assert len(changed.stagings()) == 1
    assert "/added.txt" in changed.names(wim=other)


def test_a_commit_is_asked_about(changed: Writable) -> None:
    changed.keep()

    async def scenario(pilot: Pilot[None]) -> None:
        await opened(pilot, str(changed.path))
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommitDialog), "it asks")
        await pilot.press("escape")

    drive(make_app(), scenario, size=SIZE)


def test_a_dead_mount_point_is_freed(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)
    kill(point)

    async def scenario(pilot: Pilot[None]) -> None:
        await opened(pilot, str(point))
        await pilot.press("x", "c", "e")
        await pilot.pause()
        assert isinstance(pilot.app.screen, RecoverScreen)
        await pilot.press("u")
        await until(pilot, lambda: not is_mounted(point), "it is free")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen), "all is decided")

    drive(make_app(), scenario, size=SIZE)


def test_what_a_killed_write_left_is_cut(wim: Path) -> None:
    whole = wim.read_bytes()
    remember_wim(str(wim))
    marked = bytearray(whole)
    marked[16] |= 0x40
    wim.write_bytes(bytes(marked) + b"left behind")

    async def scenario(pilot: Pilot[None]) -> None:
        await opened(pilot, str(wim))
        await until_shown(pilot, "half written")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen), "all is decided")

    drive(make_app(), scenario, size=SIZE)
    assert wim.read_bytes() == whole
    assert archives.inspect_archive(str(wim)).warnings == ()


def test_a_mount_that_dies_appears(wim: Path, mounter: Mounter, changed: Writable) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+r")
        await until_shown(pilot, "Nothing needs to be recovered")
        kill(changed.path)
        await opened(pilot, str(changed.path))
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, HomeScreen)

    drive(make_app(), scenario, size=SIZE)


def test_by_another_path_staged_changes_are_the_same(
    changed: Writable, wim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = wim.parent / "link"
    link.symlink_to(wim.parent)
    # As with bind mounts, which no resolving of links tells of.
    other = replace(remember_wim(str(wim))[0], path=str(link / wim.name))
    monkeypatch.setattr(stagings, "recent_wims", lambda: (other,))
    staged = [one for one in mounts.list_mounts() if one.staging_path]
    assert [one.alive for one in staged] == [True]
    changed.keep()
    assert len([one for one in mounts.list_mounts() if one.staging_path]) == 1


def test_readonly_shows_and_changes_nothing(changed: Writable) -> None:
    changed.keep()

    async def scenario(pilot: Pilot[None]) -> None:
        screen = await opened(pilot, str(changed.path))
        await pilot.press("R", "x", "c", "e", "enter")
        await pilot.pause()
        assert pilot.app.screen is screen

    drive(make_app(readonly=True), scenario, size=SIZE)
    assert not is_mounted(changed.path)
    assert len(changed.stagings()) == 1
