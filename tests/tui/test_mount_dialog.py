"""The mount dialog: what it offers, what it refuses, and what comes of it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Button, Input, Select

from tests.tui.driving import Mounter, drive, is_mounted, make_app, until, until_shown
from tests.tui.writable import Writable
from wimtui.screens.mount import MountDialog, mount_command
from wimtui.screens.recover import RecoverScreen
from wimtui.service import mounts
from wimtui.widgets.check import Check

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


async def open_dialog(pilot: Pilot[None]) -> MountDialog:
    await until_shown(pilot, "Images")
    await until_shown(pilot, "Index")
    await pilot.press("m")
    await until(pilot, lambda: isinstance(pilot.app.screen, MountDialog), "the dialog is open")
    dialog = pilot.app.screen
    assert isinstance(dialog, MountDialog)
    # A screen is the app's before its widgets are there.
    await until(
        pilot,
        lambda: any(field.value for field in dialog.query("#place").results(Input)),
        "a place is offered",
    )
    return dialog


@pytest.mark.fuse
@pytest.mark.mqueue
def test_mounts_with_the_options_chosen(wim: Path, home: Path, mounter: Mounter) -> None:
    point = home / "new folder" / "m"

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Index")
        await pilot.press("j")
        dialog = await open_dialog(pilot)
        assert dialog.query_one("#image", Select).value == 2
        dialog.query_one("#place", Input).value = str(point)
        await until_shown(pilot, "missing; it is made when you mount")
        dialog.query_one("#check", Check).value = True
        dialog.query_one("#streams", Select).value = "windows"
        await pilot.pause()
        words = shlex.split(dialog.command())
        assert words == ["wimtui", "mount", "--check", "--streams-interface=windows", str(wim),
                         "2", str(point)]  # fmt: skip
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Mounted")
        assert is_mounted(point)
        # The WIM's screen marks the image.
        await until_shown(pilot, "●")

    drive(make_app(wim), scenario)
    found = mounts.find_mount(str(point))
    assert (found.image_index, found.mode) == (2, "ro")
    assert (point / "Windows").is_dir()
    mounter.run("unmount", point)


@pytest.mark.fuse
@pytest.mark.mqueue
def test_a_dialog_that_was_closed_leaves_no_mount_unsaid(wim: Path, mounter: Mounter) -> None:
    point = mounter.home / "late"
    point.mkdir()

    async def scenario(pilot: Pilot[None]) -> None:
        dialog = await open_dialog(pilot)
        dialog.query_one("#place", Input).value = str(point)
        await until_shown(pilot, "an empty folder")
        await pilot.press("ctrl+s", "escape")
        await until_shown(pilot, "Mounted")
        assert is_mounted(point)

    drive(make_app(wim), scenario)
    mounter.run("unmount", point)


@pytest.mark.fuse
@pytest.mark.mqueue
def test_the_daemons_refusal_stays_in_the_dialog(wim: Path, home: Path) -> None:
    point = home / "m"
    point.mkdir()

    async def scenario(pilot: Pilot[None]) -> None:
        dialog = await open_dialog(pilot)
        dialog.query_one("#place", Input).value = str(point)
        dialog.query_one("#references", Input).value = str(home / "none*.swm")
        await until_shown(pilot, "✓ an empty folder")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: dialog.query_one("#outcome").has_class("bad"), "it says why")
        assert pilot.app.screen is dialog
        dialog.query_one("#references", Input).value = ""
        await until(pilot, lambda: not dialog.query_one("#mount", Button).disabled)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: is_mounted(point), "the second try mounts")

    drive(make_app(wim), scenario)
    mounts.unmount_at(str(point))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.write_text("x"), "no folder"),
        (lambda path: (path.mkdir(), (path / "x").write_text("x")), "not empty"),
        (lambda path: path.mkdir(), "an empty folder"),
        (lambda path: None, "missing; it is made"),
    ],
    ids=["file", "not empty", "ready", "missing"],
)
def test_mount_points_are_checked(wim: Path, home: Path, make: object, text: str) -> None:
    point = home / "place"
    assert callable(make)
    make(point)

    async def scenario(pilot: Pilot[None]) -> None:
        dialog = await open_dialog(pilot)
        dialog.query_one("#place", Input).value = str(point)
        await until_shown(pilot, text)
        can = text in ("an empty folder", "missing; it is made")
        await until(pilot, lambda: dialog.query_one("#mount", Button).disabled is not can)

    drive(make_app(wim), scenario)


@pytest.mark.fuse
@pytest.mark.mqueue
def test_a_taken_mount_point_is_refused(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)

    async def scenario(pilot: Pilot[None]) -> None:
        dialog = await open_dialog(pilot)
        dialog.query_one("#place", Input).value = str(point)
        await until_shown(pilot, "a WIM image is mounted there already")
        assert dialog.query_one("#mount", Button).disabled

    drive(make_app(wim), scenario)


def test_the_command_is_copied(wim: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        dialog = await open_dialog(pilot)
        await pilot.press("ctrl+y")
        await until_shown(pilot, "Copied the command")
        assert pilot.app.clipboard == dialog.command()

    drive(make_app(wim), scenario)


def test_the_command_is_quoted_for_a_shell() -> None:
    text = mount_command(
        "/a b/it's.wim", 3, "/m n", streams="none", flags=["check"], references=["/a b/*.swm"]
    )
    assert shlex.split(text) == [
        "wimtui", "mount", "--check", "--streams-interface=none", "--ref=/a b/*.swm",
        "/a b/it's.wim", "3", "/m n",
    ]  # fmt: skip


def test_paths_are_completed(wim: Path, home: Path) -> None:
    (home / "mountpoints").mkdir()

    async def scenario(pilot: Pilot[None]) -> None:
        dialog = await open_dialog(pilot)
        box = dialog.query_one("#place", Input)
        box.value = str(home / "mountp")
        box.cursor_position = len(box.value)
        await until(pilot, lambda: box._suggestion.endswith("mountpoints/"), "it is offered")
        await pilot.press("right")
        assert box.value == f"{home}/mountpoints/"

    drive(make_app(wim), scenario)


async def want_read_write(pilot: Pilot[None], point: Path) -> MountDialog:
    """Open the dialog and choose a read-write mount at a folder."""
    dialog = await open_dialog(pilot)
    assert not dialog.query_one("#for-rw").display
    dialog.query_one("#place", Input).value = str(point)
    dialog.query_one("#mode", Select).value = "rw"
    await until(pilot, lambda: dialog.query_one("#for-rw").display, "it asks where to stage")
    return dialog


@pytest.mark.fuse
@pytest.mark.mqueue
def test_mounts_read_write_with_changes_staged_elsewhere(
    wim: Path, home: Path, mounter: Mounter
) -> None:
    point, stagings = home / "m", home / "stagings"

    async def scenario(pilot: Pilot[None]) -> None:
        dialog = await want_read_write(pilot, point)
        dialog.query_one("#staging-dir", Input).value = str(stagings)
        await until_shown(pilot, "✗ no such folder")
        await until(pilot, lambda: dialog.query_one("#mount", Button).disabled)
        stagings.mkdir()
        dialog.query_one("#staging-dir", Input).value = f"{stagings}/"
        await until_shown(pilot, "✓ changes are staged there, ")
        await until_shown(pilot, " free")
        assert shlex.split(dialog.command()) == [
            "wimtui", "mount", "--rw", f"--staging-dir={stagings}", str(wim), "1", str(point),
        ]  # fmt: skip
        await until(pilot, lambda: not dialog.query_one("#mount", Button).disabled)
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Mounted")

    drive(make_app(wim), scenario)
    try:
        found = mounts.find_mount(str(point))
        assert found.mode == "rw"
        assert found.staging_path.startswith(f"{stagings}/")
        (point / "added").write_bytes(b"x")
    finally:
        mounter.run("unmount", "--force", "--discard", point)
    assert list(stagings.iterdir()) == []


@pytest.mark.fuse
@pytest.mark.mqueue
def test_a_second_read_write_mount_is_refused_in_the_dialog(
    wim: Path, home: Path, mounter: Mounter
) -> None:
    other = Writable(mounter, wim)

    async def scenario(pilot: Pilot[None]) -> None:
        dialog = await want_read_write(pilot, home / "m")
        await until_shown(pilot, f"✗ it is mounted read-write at {other.path}")
        assert dialog.query_one("#mount", Button).disabled
        dialog.query_one("#mode", Select).value = "ro"
        await until(pilot, lambda: not dialog.query_one("#mount", Button).disabled, "read-only is")

    try:
        drive(make_app(wim), scenario)
    finally:
        other.end()


def test_what_cannot_be_written_is_said_before_the_mount(wim: Path, home: Path) -> None:
    data = bytearray(wim.read_bytes())
    data[16] |= 0x4
    wim.write_bytes(data)

    async def scenario(pilot: Pilot[None]) -> None:
        dialog = await want_read_write(pilot, home / "m")
        await until_shown(pilot, "READONLY")
        assert dialog.query_one("#mount", Button).disabled
        dialog.query_one("#references", Input).value = "/x*.swm"
        await until_shown(pilot, "can only be mounted read-only")

    drive(make_app(wim), scenario)


@pytest.mark.fuse
@pytest.mark.mqueue
def test_changes_of_an_earlier_mount_are_mentioned(wim: Path, home: Path, mounter: Mounter) -> None:
    earlier = Writable(mounter, wim)
    earlier.write("added", b"x")
    earlier.keep()

    async def scenario(pilot: Pilot[None]) -> None:
        app = pilot.app
        await until(pilot, lambda: isinstance(app.screen, RecoverScreen), "it is told of")
        await pilot.press("escape")
        await want_read_write(pilot, home / "m")
        await until_shown(pilot, "Uncommitted changes are in")

    drive(make_app(wim), scenario)
