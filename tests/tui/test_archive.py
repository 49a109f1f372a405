"""The WIM screen: facts, filter, sort, verification, and files that are no WIMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.tui.driving import drive, make_app, screen_text, type_text, until, until_shown
from wimtui.jobs import JobState
from wimtui.screens.archive import ArchiveScreen
from wimtui.screens.browse import BrowseScreen
from wimtui.screens.home import HomeScreen
from wimtui.service.archives import inspect_archive
from wimtui.widgets.image_table import ImageTable

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


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
