"""Home: what is mounted is shown as it is, and can be ended and opened from there."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.tui.driving import (
    Mounter,
    drive,
    is_mounted,
    make_app,
    screen_text,
    until,
    until_shown,
)
from tests.tui.writable import Writable
from wimtui.app import farewell
from wimtui.control.errors import QueueLimitError
from wimtui.screens.archive import ArchiveScreen
from wimtui.screens.browse import BrowseScreen
from wimtui.screens.mount import MountDialog
from wimtui.screens.switch import SwitchBusyDialog, SwitchImageDialog
from wimtui.screens.unmount import UnmountDialog
from wimtui.service import mounts
from wimtui.widgets.image_table import ImageTable
from wimtui.widgets.mount_table import MountTable
from wimtui.widgets.wim_table import WimRow, WimTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.pilot import Pilot

    from wimtui.widgets.mount_rows import MountRow

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]


def shown_points(pilot: Pilot[None]) -> list[str]:
    """Mount points in the table; other mounts of the machine may be among them."""
    table = pilot.app.screen_stack[0].query_one(MountTable)
    return [row.summary.mount_point for row in table.rows]


async def choose(pilot: Pilot[None], point: Path) -> MountRow:
    """Put the cursor on a mount."""
    await until(pilot, lambda: str(point) in shown_points(pilot), f"{point} is listed")
    table = pilot.app.screen_stack[0].query_one(MountTable)
    row = next(row for row in table.rows if row.summary.mount_point == str(point))
    table.move_to(row.key)
    await pilot.pause()
    return row


def test_a_mount_made_elsewhere_appears_with_its_reads(wim: Path, mounter: Mounter) -> None:
    app = make_app()

    async def scenario(pilot: Pilot[None]) -> None:
        point = mounter.mount(wim, 2)
        row = await choose(pilot, point)
        assert "sample.wim [2]" in screen_text(pilot)
        assert "● ok" in screen_text(pilot)
        for path in (point / "Windows" / "INF").iterdir():
            path.read_bytes()
        await until(pilot, lambda: row.activity is not None and row.activity.reads > 0, "reads")
        mounter.run("unmount", point)
        await until(pilot, lambda: str(point) not in shown_points(pilot), "it is gone")

    drive(app, scenario)


def test_u_unmounts(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, point)
        await pilot.press("u")
        await until_shown(pilot, "Unmounted")
        await until(pilot, lambda: not is_mounted(point))
        await until(pilot, lambda: str(point) not in shown_points(pilot), "it is gone")

    drive(make_app(), scenario)


def test_a_busy_mount_names_its_holder_and_goes_when_it_is_free(
    wim: Path, mounter: Mounter
) -> None:
    point = mounter.mount(wim, 1)
    holder = subprocess.Popen(["sleep", "600"], cwd=point)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, point)
        await pilot.press("u")
        await until_shown(pilot, "Mount in use")
        await until_shown(pilot, str(holder.pid))
        assert is_mounted(point)
        await pilot.press("w")
        await until_shown(pilot, "still in use; waiting")
        holder.kill()
        holder.wait()
        await until(pilot, lambda: not is_mounted(point), "unmounted once free")
        await until(pilot, lambda: not isinstance(pilot.app.screen, UnmountDialog), "closed")

    try:
        drive(make_app(), scenario)
    finally:
        holder.kill()
        holder.wait()


def test_force_detaches_a_busy_mount(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)
    holder = subprocess.Popen(["sleep", "600"], cwd=point)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, point)
        await pilot.press("u")
        await until_shown(pilot, "Mount in use")
        await pilot.press("f")
        await until(pilot, lambda: not is_mounted(point), "detached")
        holder.kill()
        holder.wait()
        await until(pilot, lambda: not isinstance(pilot.app.screen, UnmountDialog), "closed")

    try:
        drive(make_app(), scenario)
    finally:
        holder.kill()
        holder.wait()


def test_a_killed_daemon_shows_as_dead_and_is_cleared(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)
    pid = mounts.find_mount(str(point)).pid

    async def scenario(pilot: Pilot[None]) -> None:
        row = await choose(pilot, point)
        os.kill(pid, signal.SIGKILL)
        await until(pilot, lambda: row.badge.text == "● needs remount", "it shows as dead")
        await pilot.press("u")
        await until(pilot, lambda: not is_mounted(point), "cleared")
        await until(pilot, lambda: str(point) not in shown_points(pilot), "it is gone")

    drive(make_app(), scenario)


def test_a_stopped_daemon_leaves_the_app_alive(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)
    other = mounter.mount(wim, 2, "other")
    pid = mounts.find_mount(str(point)).pid
    os.kill(pid, signal.SIGSTOP)

    async def scenario(pilot: Pilot[None]) -> None:
        answering = await choose(pilot, other)
        silent = await choose(pilot, point)
        await until(pilot, lambda: answering.activity is not None, "the other answers")
        await pilot.press("j", "k")
        assert silent.activity is None
        os.kill(pid, signal.SIGCONT)
        await until(pilot, lambda: silent.activity is not None, "and this one again")

    try:
        drive(make_app(), scenario)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_actions_lead_to_the_other_screens(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 2)

    async def scenario(pilot: Pilot[None]) -> None:
        app = pilot.app
        await choose(pilot, point)
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen))
        await until_shown(pilot, "Windows/")
        await pilot.press("escape", "i")
        await until(pilot, lambda: isinstance(app.screen, ArchiveScreen))
        await until_shown(pilot, "Index")
        await pilot.press("G")
        await until_shown(pilot, "Mounted at")
        await pilot.press("escape", "m")
        await until(pilot, lambda: isinstance(app.screen, MountDialog))
        # The image that is not mounted yet is offered first.
        await until_shown(pilot, " 1 ")
        await until_shown(pilot, "sample-1")
        await pilot.press("escape", "y")
        await until_shown(pilot, "Copied the path")
        assert app.clipboard == str(point)

    drive(make_app(), scenario)


def test_wims_in_use_and_opened_lately_are_listed(wim: Path, mounter: Mounter) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        app = pilot.app
        await until_shown(pilot, "compression".title())
        await pilot.press("escape")
        table = app.screen.query_one(WimTable)

        def own() -> WimRow | None:
            return next((row for row in table.rows if row.path == str(wim)), None)

        await until(pilot, own, "it is listed")
        assert own() == WimRow(str(wim), 0, is_recent=True)
        mounter.mount(wim, 1)
        await until(pilot, lambda: own() == WimRow(str(wim), 1, is_recent=True), "in use")
        table.focus()
        table.move_to(str(wim))
        await pilot.press("x")
        await until(pilot, lambda: own() == WimRow(str(wim), 1, is_recent=False), "forgotten")

    drive(make_app(wim), scenario)


def test_readonly_allows_no_change(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, point)
        await pilot.press("u", "m")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, MountDialog)
        await pilot.press("b")
        await until_shown(pilot, "Windows/")
        await pilot.press("e", "m")
        await pilot.pause()
        assert isinstance(pilot.app.screen, BrowseScreen)

    drive(make_app(readonly=True), scenario)
    assert is_mounted(point)


def test_quitting_leaves_mounts_alive_and_says_so(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)
    app = make_app()

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, point)
        text = farewell(app.mounts)
        assert text is not None
        assert str(point) in text
        await pilot.press("q")

    drive(app, scenario)
    assert is_mounted(point)
    assert (point / "Windows").is_dir()


def test_nothing_is_said_at_the_end_where_nothing_is_mounted() -> None:
    assert farewell([]) is None


@pytest.fixture
def writable(wim: Path, mounter: Mounter) -> Iterator[Writable]:
    """Image 1 of the sample, writable and unchanged."""
    made = Writable(mounter, wim)
    yield made
    made.end()


def test_what_is_staged_shows(writable: Writable) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        row = await choose(pilot, writable.path)
        await until(pilot, lambda: row.changes == 0, "its daemon was heard")
        assert row.badge.text == "● ok"
        writable.write("added", b"x" * 100_000)
        await until(pilot, lambda: row.badge.text == "● dirty", "it shows as dirty")
        await until_shown(pilot, "1 change, ")
        assert row.staged_nbytes
        # What has changes is not switched.
        await pilot.press("w", "n")
        await pilot.pause()
        assert pilot.app.screen is pilot.app.screen_stack[0]

    drive(make_app(), scenario)
    assert mounts.find_mount(str(writable.path)).mode == "rw"


def test_a_dead_read_write_mount_is_mounted_again(writable: Writable) -> None:
    writable.write("added", b"x")
    pid = mounts.find_mount(str(writable.path)).pid

    async def scenario(pilot: Pilot[None]) -> None:
        row = await choose(pilot, writable.path)
        os.kill(pid, signal.SIGKILL)
        await until(pilot, lambda: row.badge.text == "● needs remount", "it shows as dead")
        await pilot.press("R")
        await until_shown(pilot, "mounted at")
        await until_shown(pilot, "● dirty")

    drive(make_app(), scenario)
    assert (writable.path / "added").read_bytes() == b"x"


def test_w_makes_a_mount_writable_and_read_only_again(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 2)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, point)
        await pilot.press("w")
        await until_shown(pilot, "image 2 is mounted read-write")
        (point / "added").write_bytes(b"x")
        (point / "added").unlink()
        row = await choose(pilot, point)
        await until(pilot, lambda: row.summary.mode == "rw" or shown_mode(pilot, point) == "rw")
        row = await choose(pilot, point)
        await until(pilot, lambda: row.is_settled, "nothing is staged")
        await pilot.press("w")
        await until_shown(pilot, "image 2 is mounted read-only")

    drive(make_app(), scenario)
    assert mounts.find_mount(str(point)).mode == "ro"


def shown_mode(pilot: Pilot[None], point: Path) -> str:
    """What the table says of a mount."""
    table = pilot.app.screen_stack[0].query_one(MountTable)
    rows = [row for row in table.rows if row.summary.mount_point == str(point)]
    return rows[0].summary.mode if rows else ""


def test_n_mounts_another_image_there(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)

    async def scenario(pilot: Pilot[None]) -> None:
        app = pilot.app
        await choose(pilot, point)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, SwitchImageDialog), "it asks")
        table = app.screen.query_one(ImageTable)
        await until(pilot, lambda: len(table.rows) == 2, "the images are listed")
        await pilot.press("enter")
        await until_shown(pilot, "image 1 is mounted there already")
        await pilot.press("j", "enter")
        await until_shown(pilot, "image 2 is mounted read-only")

    drive(make_app(), scenario)
    assert mounts.find_mount(str(point)).image_index == 2


def test_a_busy_mount_is_switched_when_it_is_free(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)
    holder = subprocess.Popen(["sleep", "600"], cwd=point)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, point)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, SwitchBusyDialog), "it says who")
        await until_shown(pilot, str(holder.pid))
        assert mounts.find_mount(str(point)).mode == "ro"
        await pilot.press("w")
        holder.kill()
        holder.wait()
        await until_shown(pilot, "image 1 is mounted read-write")

    try:
        drive(make_app(), scenario)
    finally:
        holder.kill()
        holder.wait()
    assert mounts.find_mount(str(point)).mode == "rw"


def test_readonly_opens_no_shell_where_it_could_change_something(
    writable: Writable, mounter: Mounter
) -> None:
    readable = mounter.mount(writable.wim, 2)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, writable.path)
        assert pilot.app.screen.check_action("shell", ()) is None
        await choose(pilot, readable)
        assert pilot.app.screen.check_action("shell", ()) is True

    drive(make_app(readonly=True), scenario)


def test_a_daemon_that_could_not_be_asked_is_not_called_silent() -> None:
    app = make_app()

    def refuse(_: str) -> None:
        raise QueueLimitError("the queues are full")

    app.bridge.services.activity_of = refuse  # type: ignore[method-assign, assignment]
    assert app.bridge.mounts._activity("x") is None
