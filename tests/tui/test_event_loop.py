"""Nothing blocks the screen: the longest delay of the event loop while a large image is read."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.tui.driving import drive, make_app, until
from tests.tui.large import make_large_wim
from wimtui import messages
from wimtui.screens.browse import BrowseScreen
from wimtui.widgets.entry_tree import EntryTree
from wimtui.widgets.found_table import FoundTable

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

FILES = 100_000
_TICK_S = 0.005


class Delays:
    """Wakes every few milliseconds and notes how late it was."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK_S)
            self.worst = max(self.worst, time.perf_counter() - began - _TICK_S)

    def take(self) -> float:
        worst, self.worst = self.worst, 0.0
        return worst * 1000


@pytest.mark.slow
@pytest.mark.serial
def test_worst_delay_while_a_large_image_loads(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wim = make_large_wim(home / "large.wim", FILES)
    app = make_app()
    figures: dict[str, float] = {}

    async def scenario(pilot: Pilot[None]) -> None:
        delays = Delays()
        watcher = asyncio.create_task(delays.watch())
        await asyncio.sleep(0.3)
        figures["at rest"] = delays.take()
        app.post_message(messages.ShowImage(str(wim), 1))
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen))
        screen = app.screen
        tree = screen.query_one(EntryTree)
        await until(pilot, lambda: len(tree.rows) > 1, "the image is open")
        figures["image opens"] = delays.take()
        await pilot.press("j", "right")
        await until(pilot, lambda: len(tree.rows) > FILES // 2, "the folder is open")
        figures["folder of 50,000 opens"] = delays.take()
        await pilot.press("slash", "9", "9", "9")
        found = screen.query_one(FoundTable)
        await until(pilot, lambda: found.display and found.rows, "found")
        figures["search"] = delays.take()
        watcher.cancel()

    drive(app, scenario)
    shutil.rmtree(home, ignore_errors=True)
    with capsys.disabled():
        text = ", ".join(f"{name} {value:.0f} ms" for name, value in figures.items())
        print(f"\nworst delay of the event loop with {FILES:,} files: {text}")
    assert list(figures) == ["at rest", "image opens", "folder of 50,000 opens", "search"]
