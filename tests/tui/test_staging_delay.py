"""10,000 changes refresh without a stutter: the longest delay of the event loop meanwhile."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from tests.tui.delays import Delays, Figure
from tests.tui.driving import Mounter, drive, make_app, mount_at, until
from wimtui import staging_messages
from wimtui.screens.staging import StagingScreen
from wimtui.widgets.change_table import ChangeTable

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

CHANGES = 10_000
WRITTEN = 400

_WRITE = """
import os, sys, time
for number in range(int(sys.argv[2])):
    with open(f"{sys.argv[1]}/live/file {number:06}", "xb") as file:
        file.write(b"x" * number)
    time.sleep(0.005)
"""


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.fuse
def test_worst_delay_with_many_changes(
    wim: Path, mounter: Mounter, capsys: pytest.CaptureFixture[str]
) -> None:
    point = mounter.mount(wim, 1, read_write=True)
    for folder in range(CHANGES // 100):
        (point / f"folder {folder}").mkdir()
        for number in range(99):
            (point / f"folder {folder}" / f"file {number:04}").touch()
    (point / "live").mkdir()
    app = make_app()
    figures: dict[str, Figure] = {}

    async def scenario(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.mounts, "mounts are listed")
        delays = Delays()
        watcher = asyncio.create_task(delays.watch())
        await asyncio.sleep(0.3)
        figures["at rest"] = delays.take()
        app.post_message(staging_messages.ShowStaging(mount_at(app, point)))
        await until(pilot, lambda: isinstance(app.screen, StagingScreen), "the screen")
        table = app.screen.query_one(ChangeTable)
        await until(pilot, lambda: len(table.rows) > 100, "the folders are shown")
        figures["10,000 changes are listed"] = delays.take()
        await pilot.press("plus")
        await until(pilot, lambda: len(table.rows) > CHANGES, "all are shown")
        figures["all folders open"] = delays.take()
        await pilot.press(*["pagedown"] * 10)
        delays.take()
        current = table.current
        assert current is not None
        line = table.cursor - round(table.scroll_offset.y)
        rows = len(table.rows)
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WRITE, str(point), str(WRITTEN)
        )
        while writer.returncode is None:
            await pilot.press("k", "j")
            await pilot.pause(0.05)
        await until(pilot, lambda: len(table.rows) == rows + WRITTEN, "all that was written")
        figures["refreshes while a program writes"] = delays.take()
        assert table.current is not None
        assert table.current.key == current.key
        assert table.cursor - round(table.scroll_offset.y) == line
        watcher.cancel()

    drive(app, scenario)
    with capsys.disabled():
        print(f"\nworst delays of the event loop with {CHANGES:,} changes:")
        for step, figure in figures.items():
            print(f"  {step:32} {figure}")
    assert len(figures) == 4
