"""Folders captured as images, into WIMs and into those that are made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from tests.tui.driving import drive, make_app, screen_text, until, until_shown
from wimtui.jobs import JobState
from wimtui.screens.archive import ArchiveScreen
from wimtui.screens.capture import CaptureDialog
from wimtui.screens.home import HomeScreen
from wimtui.service.archives import inspect_archive
from wimtui.service.recents import recent_wims
from wimtui.widgets.check import Check
from wimtui.widgets.image_table import ImageTable

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from wimtui.app import WimtuiApp


@pytest.fixture
def folder(home: Path) -> Path:
    """A folder with something in it."""
    made = home / "my files"
    (made / "sub").mkdir(parents=True)
    (made / "sub" / "a.txt").write_text("a\n" * 1000)
    return made


async def fill(pilot: Pilot[None], **values: str) -> CaptureDialog:
    """Open the dialog and type into its fields."""
    await pilot.press("a")
    await until(pilot, lambda: isinstance(pilot.app.screen, CaptureDialog), "it asks")
    asked = pilot.app.screen
    assert isinstance(asked, CaptureDialog)
    for name, value in values.items():
        asked.query_one(f"#{name}", Input).value = value
    await pilot.pause()
    return asked


async def job_over(pilot: Pilot[None], app: WimtuiApp) -> None:
    """Wait for the job, which has to end well."""
    await until(pilot, lambda: app.bridge.jobs.jobs and not app.bridge.jobs.running, "over")
    job = app.bridge.jobs.jobs[0]
    assert job.state is JobState.DONE, job.summary


def test_a_folder_becomes_another_image(wim: Path, folder: Path) -> None:
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Image 1")
        asked = await fill(pilot, folder=str(folder), name="Windows Sample PE")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "image 1 has that name")
        asked.query_one("#name", Input).value = "Mine"
        asked.query_one("#boot", Check).value = True
        command = f"wimtui capture --boot --name=Mine '{folder}' {wim}"
        await until(pilot, lambda: asked.capturing().command() == command, "the command shows")
        await pilot.press("ctrl+s")
        await job_over(pilot, app)
        await until_shown(pilot, "● done")
        await pilot.press("escape")
        table = app.screen_stack[1].query_one(ImageTable)
        await until(pilot, lambda: len(table.rows) == 3, "it is listed")
        assert isinstance(app.screen, ArchiveScreen)

    drive(app, scenario)
    facts = inspect_archive(str(wim))
    assert [info.name for info in facts.images][2:] == ["Mine"]
    assert facts.images[2].file_count == 1
    assert facts.boot_index == 3


def test_home_makes_a_wim_and_lists_it(folder: Path, home: Path) -> None:
    app = make_app()
    made = home / "made.wim"

    async def scenario(pilot: Pilot[None]) -> None:
        await fill(pilot, folder=str(folder), wim=str(made))
        await pilot.press("ctrl+s")
        await job_over(pilot, app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), "home again")
        await until_shown(pilot, "made.wim")

    drive(app, scenario)
    assert [info.name for info in inspect_archive(str(made)).images] == ["my files"]
    assert [one.path for one in recent_wims()] == [str(made)]


def test_what_is_missing_is_said_in_the_dialog(folder: Path, home: Path) -> None:
    app = make_app()

    async def scenario(pilot: Pilot[None]) -> None:
        asked = await fill(pilot, folder=str(home / "nowhere"), wim=str(home / "made.wim"))
        for folder_typed, wim_typed, problem in (
            (str(home / "nowhere"), str(home / "made.wim"), "is no folder"),
            ("", str(home / "made.wim"), "say which folder"),
            (str(folder), "", "say into which WIM"),
            (str(folder), str(home), "name a file"),
            (str(folder), str(home / "nowhere" / "made.wim"), "does not exist"),
        ):
            asked.query_one("#folder", Input).value = folder_typed
            asked.query_one("#wim", Input).value = wim_typed
            await pilot.pause()
            await pilot.press("ctrl+s")
            await until_shown(pilot, problem)
            assert app.screen is asked
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), "it is left")

    drive(app, scenario)
    assert app.bridge.jobs.jobs == []


def test_readonly_captures_nothing(wim: Path) -> None:
    app = make_app(wim, readonly=True)

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Image 1")
        await pilot.press("a")
        await pilot.pause()
        assert type(app.screen).__name__ == ArchiveScreen.__name__
        await pilot.press("escape", "a")
        await pilot.pause()
        assert type(app.screen).__name__ == HomeScreen.__name__, screen_text(pilot)

    drive(app, scenario)
