"""The WIM screen: facts, filter, sort, verification, and files that are no WIMs."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from tests.tui.driving import (
    Mounter,
    drive,
    make_app,
    mount_at,
    screen_text,
    type_text,
    until,
    until_shown,
)
from tests.tui.writable import Writable
from wimtui import messages
from wimtui.jobs import JobState
from wimtui.screens.archive import ArchiveScreen
from wimtui.screens.browse import BrowseScreen
from wimtui.screens.home import HomeScreen
from wimtui.screens.image_edit import DeleteImageDialog, EditImageDialog, OptimizeDialog
from wimtui.screens.mount import MountDialog
from wimtui.service.archives import inspect_archive, split_set_of
from wimtui.widgets.check import Check
from wimtui.widgets.image_table import ImageTable

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from wimtui.app import WimtuiApp


def test_shows_every_field_of_the_xml(wim: Path) -> None:
    facts = inspect_archive(str(wim))

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, facts.guid)
        await pilot.press("G")
        await until_shown(pilot, "Image 2")
        info = facts.images[1]
        windows = info.windows
        assert windows is not None
        shown = " ".join(screen_text(pilot).split())
        for text in (info.name, f"{info.file_count:,}", f"{info.total_bytes:,} bytes",
                     windows.edition_id or "", windows.system_root or ""):  # fmt: skip
            assert text.split()[-1] in shown
        table = pilot.app.screen.query_one(ImageTable)
        assert [row.info.index for row in table.rows] == [1, 2]
        assert [row.is_boot for row in table.rows] == [facts.boot_index == 1, facts.boot_index == 2]

    drive(make_app(wim), scenario, size=(160, 50))


@pytest.mark.parametrize(
    ("number", "name", "pattern"),
    [(1, "install.swm", "install*.swm"), (2, "install2.swm", "install*.swm"),
     (3, "odd name.swm", "odd name*.swm"), (12, "[x]12.swm", "[[]x]*.swm")],
)  # fmt: skip
def test_any_part_leads_to_the_others(wim: Path, number: int, name: str, pattern: str) -> None:
    path = str(wim.parent / "some [folder]" / name)
    facts = replace(inspect_archive(str(wim)), part_number=number, total_parts=12)
    parts = split_set_of(path, facts)
    assert parts.references == (f"{wim.parent}/some [[]folder]/{pattern}",)
    assert parts.first == path


def test_filter_and_sort(wim: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        screen = pilot.app.screen
        table = screen.query_one(ImageTable)
        await until(pilot, lambda: len(table.rows) == 2)
        wanted = table.rows[1].edition
        await pilot.press("slash")
        await type_text(pilot, wanted.casefold())
        await until(pilot, lambda: [row.info.index for row in table.rows] == [2], "filtered")
        await pilot.press("enter")
        assert table.has_focus
        await pilot.press("escape")
        await until(pilot, lambda: len(table.rows) == 2, "the filter is gone")
        assert isinstance(pilot.app.screen, ArchiveScreen)
        await pilot.press("S")
        await until(pilot, lambda: [row.info.index for row in table.rows] == [2, 1], "reversed")
        await pilot.click(ImageTable, offset=(12, 1))
        await until(pilot, lambda: table.sort_key == "name", "a click on a header sorts")

    drive(make_app(wim), scenario)


def test_verify_runs_as_a_job_and_says_how_it_went(wim: Path) -> None:
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Index")
        await pilot.press("v")
        await until(pilot, lambda: app.bridge.jobs.jobs and not app.bridge.jobs.running, "over")
        assert app.bridge.jobs.jobs[0].state is JobState.DONE
        await pilot.press("J")
        await until_shown(pilot, "blobs are as they should be")
        await until_shown(pilot, "● done")
        await pilot.press("x")
        await until_shown(pilot, "Nothing runs")

    drive(app, scenario)


def test_damage_is_reported_with_the_files_it_hits(wim: Path) -> None:
    data = bytearray(wim.read_bytes())
    for offset in range(len(data) // 4, len(data) // 4 + 4000):
        data[offset] ^= 0x5A
    wim.write_bytes(data)
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Index")
        await pilot.press("v")
        await until(pilot, lambda: app.bridge.jobs.jobs and not app.bridge.jobs.running, "over")
        job = app.bridge.jobs.jobs[0]
        assert job.state is JobState.FAILED
        assert "damaged" in job.summary
        assert any("used by [" in line for line in job.lines)
        await pilot.press("J")
        await until_shown(pilot, "used by")

    drive(app, scenario)


def test_what_is_no_wim_is_explained_and_the_app_goes_on(home: Path, wim: Path) -> None:
    broken = home / "broken.wim"
    broken.write_bytes(b"this is no WIM at all" * 100)

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "This file cannot be shown")
        assert "Traceback" not in screen_text(pilot)
        await until_shown(pilot, "Cannot open")
        await pilot.press("escape")
        # The second file on the command line lies beneath.
        await until_shown(pilot, "Windows Sample")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))

    drive(make_app(broken, wim), scenario)


def test_a_wim_that_vanishes_is_marked_and_one_that_comes_back_is_not(wim: Path) -> None:
    elsewhere = wim.with_name("elsewhere.wim")

    def move(source: Path, target: Path) -> None:
        source.rename(target)

    async def scenario(pilot: Pilot[None]) -> None:
        table = await begin(pilot)
        move(wim, elsewhere)
        await pilot.press("r")
        await until_shown(pilot, "WIM (as of before: ")
        assert len(table.rows) == 2
        move(elsewhere, wim)
        await pilot.press("r")
        await until(pilot, lambda: "as of before" not in screen_text(pilot), "it is back")

    drive(make_app(wim), scenario)


def test_a_pasted_path_opens(wim: Path) -> None:
    from textual import events

    async def scenario(pilot: Pilot[None]) -> None:
        pilot.app.post_message(events.Paste(f"'{wim}'\n"))
        await until(pilot, lambda: isinstance(pilot.app.screen, ArchiveScreen))
        await until_shown(pilot, "Windows Sample")

    drive(make_app(), scenario)


def test_enter_browses(wim: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Index")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen))
        await until_shown(pilot, "Windows/")

    drive(make_app(wim), scenario)


async def begin(pilot: Pilot[None]) -> ImageTable:
    """Wait for the images."""
    table = pilot.app.screen.query_one(ImageTable)
    await until(pilot, lambda: len(table.rows) == 2, "the images are listed")
    await until_shown(pilot, "Image 1")
    return table


async def jobs_over(pilot: Pilot[None], app: WimtuiApp, count: int) -> None:
    """Wait for the jobs, and for the screen to have read the WIM again."""
    await until(pilot, lambda: len(app.bridge.jobs.jobs) == count and not app.bridge.jobs.running)
    await until(pilot, lambda: app.bridge.is_idle, "the WIM was read again")
    await pilot.pause()


def test_an_image_is_renamed_and_described(wim: Path) -> None:
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await pilot.press("j", "e")
        await until(pilot, lambda: isinstance(app.screen, EditImageDialog), "it asks")
        app.screen.query_one("#name", Input).value = "Renamed [b]"
        app.screen.query_one("#description", Input).value = ""
        app.screen.query_one("#others", Input).value = "no value"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "NAME=VALUE")
        app.screen.query_one("#others", Input).value = "WINDOWS/EDITIONID='My Edition'"
        await pilot.press("ctrl+s")
        await jobs_over(pilot, app, 1)
        await until_shown(pilot, "Renamed [b]")

    drive(app, scenario)
    first, second = inspect_archive(str(wim)).images
    assert (second.name, second.description) == ("Renamed [b]", "")
    assert second.windows is not None
    assert second.windows.edition_id == "My Edition"
    assert second.display_name
    assert first.name == "Windows Sample PE"


def test_a_taken_name_is_refused_while_one_types(wim: Path) -> None:
    app = make_app(wim)
    before = wim.read_bytes()

    async def scenario(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await pilot.press("j", "e")
        await until(pilot, lambda: isinstance(app.screen, EditImageDialog), "it asks")
        asked = app.screen
        asked.query_one("#description", Input).value = "long and well thought out"
        asked.query_one("#name", Input).value = "Windows Sample PE"
        await until_shown(pilot, "image 1 has that name")
        await pilot.press("enter", "ctrl+s")
        await pilot.pause()
        assert app.screen is asked
        assert asked.query_one("#description", Input).value == "long and well thought out"
        assert not app.bridge.jobs.jobs
        # Its own name is nobody else's.
        asked.query_one("#name", Input).value = "Windows Sample Professional"
        await until(pilot, lambda: "has that name" not in screen_text(pilot), "that is possible")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ArchiveScreen), "it is left")

    drive(app, scenario)
    assert wim.read_bytes() == before


def write_part(wim: Path, path: Path, number: int) -> Path:
    """Copy a WIM and have it say that it is one of two parts."""
    data = bytearray(wim.read_bytes())
    struct.pack_into("<HH", data, 40, number, 2)
    path.write_bytes(data)
    return path


def test_a_later_part_opens_the_first_beside_it(wim: Path) -> None:
    first = write_part(wim, wim.parent / "a.swm", 1)
    second = write_part(wim, wim.parent / "a2.swm", 2)

    async def scenario(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await until_shown(pilot, "images are opened with a.swm")
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, MountDialog), "it asks")
        await until_shown(pilot, f"wimtui mount '--ref={wim.parent}/a*.swm' {first} 1")
        await pilot.press("escape")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen))
        await until_shown(pilot, "Opened a.swm, the first part")
        await until_shown(pilot, "Windows/")

    drive(make_app(second), scenario, size=(160, 50))


def test_home_mounts_all_parts_of_what_was_opened_lately(wim: Path) -> None:
    first = write_part(wim, wim.parent / "a.swm", 1)
    second = write_part(wim, wim.parent / "a2.swm", 2)
    app = make_app()

    async def scenario(pilot: Pilot[None]) -> None:
        app.post_message(messages.MountImage(str(second)))
        await until(pilot, lambda: isinstance(pilot.app.screen, MountDialog), "it asks")
        await until_shown(pilot, f"wimtui mount '--ref={wim.parent}/a*.swm' {first} 1")
        await until_shown(pilot, "a.swm, the first part")

    drive(app, scenario)


def test_a_later_part_alone_says_what_is_missing(wim: Path) -> None:
    second = write_part(wim, wim.parent / "a2.swm", 2)
    # What has its name is of another set.
    other = bytearray(write_part(wim, wim.parent / "a.swm", 1).read_bytes())
    other[24] ^= 0xFF
    (wim.parent / "a.swm").write_bytes(other)

    async def scenario(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await until_shown(pilot, "is not beside it")
        await pilot.press("b")
        await until_shown(pilot, "open the first part")

    drive(make_app(second), scenario, size=(160, 50))


def test_another_image_boots(wim: Path) -> None:
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        table = await begin(pilot)
        await pilot.press("j", "B")
        await until(pilot, lambda: [row.is_boot for row in table.rows] == [False, True], "it does")
        await jobs_over(pilot, app, 1)
        await pilot.press("B")
        await until(pilot, lambda: not any(row.is_boot for row in table.rows), "none does")

    drive(app, scenario)
    assert inspect_archive(str(wim)).boot_index == 0


def test_a_deletion_says_what_is_lost_and_an_optimisation_what_is_won(wim: Path) -> None:
    app = make_app(wim)
    names = [image.name for image in inspect_archive(str(wim)).images]

    async def scenario(pilot: Pilot[None]) -> None:
        table = await begin(pilot)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, DeleteImageDialog), "it asks")
        await until_shown(pilot, "44 files and 14 folders")
        await until_shown(pilot, "39 blobs that no other image uses")
        await pilot.press("n")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, DeleteImageDialog), "it asks again")
        app.screen.query_one("#soft", Check).value = True
        await pilot.press("y")
        await until(pilot, lambda: len(table.rows) == 1, "it is gone")
        await until_shown(pilot, "Optimise gives it back")
        # The only image cannot be deleted.
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, ArchiveScreen)
        await pilot.press("O")
        await until(pilot, lambda: isinstance(app.screen, OptimizeDialog), "it asks")
        await pilot.press("enter")
        await until_shown(pilot, "bytes given back")

    drive(app, scenario)
    assert [image.name for image in inspect_archive(str(wim)).images] == names[1:]


@pytest.mark.fuse
@pytest.mark.mqueue
def test_a_mounted_image_is_not_deleted(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)

    async def scenario(pilot: Pilot[None]) -> None:
        table = await begin(pilot)
        await until(pilot, lambda: table.rows[0].mount_points, "it shows as mounted")
        await pilot.press("x")
        await until_shown(pilot, f"image 1 is mounted at {point}")
        assert isinstance(pilot.app.screen, ArchiveScreen)

    drive(make_app(wim), scenario)
    assert inspect_archive(str(wim)).image_count == 2


@pytest.mark.fuse
@pytest.mark.mqueue
def test_a_wim_mounted_read_write_names_who_has_it(wim: Path, mounter: Mounter) -> None:
    mount = Writable(mounter, wim)
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await until(pilot, lambda: mount_at(app, mount.path).alive, "it is listed")
        for key in ("e", "O", "x"):
            app.clear_notifications()
            await pilot.press("j", key)
            await until_shown(pilot, f"mounted read-write at {mount.path}")
            assert isinstance(app.screen, ArchiveScreen)
        await pilot.press("B")
        await jobs_over(pilot, app, 1)
        job = app.bridge.jobs.jobs[0]
        assert job.state is JobState.FAILED
        assert f"mounted read-write at {mount.path}" in job.summary

    try:
        drive(app, scenario)
    finally:
        mount.end()


def test_readonly_edits_nothing(wim: Path) -> None:
    before = wim.read_bytes()
    app = make_app(wim, readonly=True)

    async def scenario(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await pilot.press("e", "x", "B", "O")
        await pilot.pause()
        assert isinstance(app.screen, ArchiveScreen)
        assert app.bridge.jobs.jobs == []

    drive(app, scenario)
    assert wim.read_bytes() == before
