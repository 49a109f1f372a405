"""Nothing blocks the screen: the longest delays of the event loop while much is going on."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.tui.delays import Delays, Figure
from tests.tui.driving import Mounter, drive, make_app, until
from tests.tui.large import make_large_wim
from tests.tui.writable import Writable, choose
from wimtui import messages
from wimtui.jobs import Job, JobState
from wimtui.screens.browse import BrowseScreen
from wimtui.screens.jobs import JobsDialog
from wimtui.service.commits import CommitSettings
from wimtui.widgets.entry_tree import EntryTree
from wimtui.widgets.found_table import FoundTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.pilot import Pilot

    from wimtui.app import WimtuiApp

FILES = 100_000
COMMIT_NBYTES = int(os.environ.get("WIMTUI_COMMIT_NBYTES", "200_000_000"))
"""How much is committed meanwhile."""

_PIECE_NBYTES = 4 << 20

STEPS = (
    "at rest",
    "panel of the commit",
    "image opens",
    "folder of 50,000 opens",
    "search",
    "back",
)


@pytest.fixture
def mount(wim: Path, mounter: Mounter) -> Iterator[Writable]:
    """A mount with much to write."""
    made = Writable(mounter, wim)
    source = random.Random(1)
    piece = source.randbytes(_PIECE_NBYTES)
    with (made.path / "large").open("wb") as file:
        for number in range(COMMIT_NBYTES // _PIECE_NBYTES + 1):
            file.write(number.to_bytes(8, "little") + piece)
    yield made
    made.end()


class Story:
    """Plays on an app, and notes the worst delay of every step."""

    def __init__(self, app: WimtuiApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot
        self.figures: dict[str, Figure] = {}
        self._delays = Delays()
        self._watcher = asyncio.create_task(self._delays.watch())

    def note(self, step: str) -> None:
        self.figures[step] = self.figures.get(step, Figure()) | self._delays.take()

    def end(self) -> None:
        self._watcher.cancel()

    async def browse(self, wim: Path) -> None:
        """Open an image, a folder of it, search, and leave it."""
        self.app.post_message(messages.ShowImage(str(wim), 1))
        await until(self.pilot, lambda: isinstance(self.app.screen, BrowseScreen))
        screen = self.app.screen
        tree = screen.query_one(EntryTree)
        await until(self.pilot, lambda: len(tree.rows) > 1, "the image is open")
        self.note("image opens")
        await self.pilot.press("j", "right")
        await until(self.pilot, lambda: len(tree.rows) > FILES // 2, "the folder is open")
        self.note("folder of 50,000 opens")
        await self.pilot.press("slash", "9", "9", "9")
        found = screen.query_one(FoundTable)
        await until(self.pilot, lambda: found.display and found.rows, "found")
        self.note("search")
        await self.pilot.press("escape", "escape")
        await until(self.pilot, lambda: not isinstance(self.app.screen, BrowseScreen), "left")
        self.note("back")


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.fuse
@pytest.mark.mqueue
def test_worst_delay_while_a_commit_runs_and_a_large_image_loads(
    home: Path, mount: Writable, capsys: pytest.CaptureFixture[str]
) -> None:
    wim = make_large_wim(home / "large.wim", FILES)
    app = make_app()
    stories: list[Story] = []
    jobs: list[Job] = []
    rounds = 0

    async def scenario(pilot: Pilot[None]) -> None:
        nonlocal rounds
        row = await choose(pilot, mount.path)
        story = Story(app, pilot)
        stories.append(story)
        await asyncio.sleep(0.3)
        story.note("at rest")
        job = app.bridge.commits.begin(row.summary, CommitSettings())
        jobs.append(job)
        app.push_screen(JobsDialog(app.bridge, job))
        await until(pilot, lambda: job.progress.bytes_done > COMMIT_NBYTES // 20, "it writes")
        story.note("panel of the commit")
        await pilot.press("escape")
        while job.state is JobState.RUNNING or not rounds:
            rounds += 1
            await story.browse(wim)
        story.end()

    drive(app, scenario)
    shutil.rmtree(wim.with_suffix(".source"), ignore_errors=True)
    (story,), (job,) = stories, jobs
    with capsys.disabled():
        print(
            f"\nworst delays of the event loop while {COMMIT_NBYTES / 1e6:,.0f} MB are committed"
            f" and {FILES:,} files are loaded ({rounds} times):"
        )
        for step, figure in story.figures.items():
            print(f"  {step:24} {figure}")
    assert list(story.figures) == list(STEPS)
    assert job.state is JobState.DONE, job.summary
