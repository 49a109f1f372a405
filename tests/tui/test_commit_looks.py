"""The look of the commit dialog and of progress, on the smallest terminal and on a wide one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from textual.screen import Screen
from textual.widgets import Button, Input

from tests.tui.driving import drive, screen_text, until, until_shown
from tests.tui.frozen import MOUNTS, NOW, WIM, FrozenServices
from tests.tui.test_snapshots import SIZES, settle
from wimtui import messages
from wimtui.app import WimtuiApp
from wimtui.control.errors import ControlError
from wimtui.jobs import Job, JobPhase, JobProgress, JobState
from wimtui.screens.commit import CommitDialog
from wimtui.screens.commit_ways import Way
from wimtui.service.changes import MountReport, StagedChange
from wimtui.service.commits import CommitEstimate
from wimtui.settings import Settings
from wimtui.widgets.choice_list import ChoiceList

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from textual.pilot import Pilot

    from wimtui.service.commits import CommitSettings
    from wimtui.service.holders import Holder

    Compare = Callable[..., bool]
    Play = Callable[[Pilot[None]], Awaitable[None]]

STAGING = "/srv/images/install.wim.staging-0123456789"
DIRTY = replace(MOUNTS[0], mode="rw", staging_path=STAGING)
GIB = 1 << 30


def change(kind: str, path: str, before: int | None, after: int | None) -> StagedChange:
    return StagedChange(kind, path, None, (), before, after, is_directory=False)


CHANGES = (
    change("modified", "/Windows/System32/drivers/etc/hosts", 824, 1203),
    change("added", "/Windows/Setup/Scripts/SetupComplete.cmd", None, 4096),
    change("added", "/Windows/\x1b[31mhostile\u202egnp.exe", None, 77_000),
    replace(change("renamed", "/Windows/notes.txt", 90, 90), old_path="/Windows/日本語.txt"),
    change("deleted", "/Windows/System32/OneDriveSetup.exe", 48_000_000, None),
    *(change("added", f"/Drivers/net/{number:03}/driver.sys", None, 300_000 + number)
      for number in range(120)),
)  # fmt: skip


class Dirty(FrozenServices):
    """A read-write mount with changes that nobody uses."""

    def report_of(self, target: str) -> MountReport:
        return MountReport(
            mount_point=DIRTY.mount_point, wim_path=WIM, image_index=1, image_name="Windows",
            mode="rw", state="ok", uptime_s=60.0, open_handles=0, staging_path=STAGING,
            staged_nbytes=36_100_000, changes=CHANGES,
        )  # fmt: skip

    def commit_estimate(self, target: str, settings: CommitSettings) -> CommitEstimate:
        if settings.rebuild:
            return CommitEstimate(5 * GIB, 5 * GIB, 3 * GIB, True, 123, 1, 1, 1, 4 * GIB)
        return CommitEstimate(36_200_000, 14_300_000, 70 * GIB, False, 123, 1, 1, 1)

    def holders_of(self, mount_point: str) -> tuple[Holder, ...]:
        return ()


class Busy(Dirty):
    """One that two processes use."""

    def holders_of(self, mount_point: str) -> tuple[Holder, ...]:
        return FrozenServices.holders_of(self, mount_point)


async def clear(pilot: Pilot[None]) -> None:
    """Lay an empty screen below what is looked at, which is not about the home screen."""
    await settle(pilot)
    await pilot.app.push_screen(Screen())
    await pilot.pause()


async def ask(pilot: Pilot[None], way: Way) -> None:
    await clear(pilot)
    stays = way is Way.COMMIT
    pilot.app.post_message(messages.CommitMount(DIRTY) if stays else messages.ChangesStaged(DIRTY))
    await until(pilot, lambda: isinstance(pilot.app.screen, CommitDialog))
    await until_shown(pilot, "125 changes")
    ways = pilot.app.screen.query_one(ChoiceList)
    ways.highlighted = [option.id for option in ways.options].index(way.value)
    await settle(pilot)
    if way.writes:
        await until_shown(pilot, "3.0 G free" if way is Way.REBUILD else "70.0 G free")


async def commit_and_stay(pilot: Pilot[None]) -> None:
    await ask(pilot, Way.COMMIT)


async def rebuild_without_room(pilot: Pilot[None]) -> None:
    await ask(pilot, Way.REBUILD)


async def new_image(pilot: Pilot[None]) -> None:
    await ask(pilot, Way.NEW_IMAGE)
    name = pilot.app.screen.query_one("#name", Input)
    name.focus()
    name.value = "Windows 11 Pro"
    await until_shown(pilot, "image 3 has that name")
    await settle(pilot)


async def discard_much(pilot: Pilot[None]) -> None:
    await ask(pilot, Way.DISCARD)
    await pilot.press("enter")
    await until_shown(pilot, "the name of the mount point")
    await settle(pilot)


PLAYS = [commit_and_stay, rebuild_without_room, new_image, discard_much]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_ways(snap_compare: Compare, home: Path, play: Play, size: tuple[int, int]) -> None:
    app = WimtuiApp(services=Dirty(), user_settings=Settings())
    assert snap_compare(app, terminal_size=size, run_before=play)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_in_use(snap_compare: Compare, home: Path, size: tuple[int, int]) -> None:
    async def play(pilot: Pilot[None]) -> None:
        await ask(pilot, Way.NEW_IMAGE)
        await until_shown(pilot, "4802")
        await settle(pilot)

    app = WimtuiApp(services=Busy(), user_settings=Settings())
    assert snap_compare(app, terminal_size=size, run_before=play)


def jobs() -> list[Job]:
    """One job of each state."""
    mib = 1 << 20
    hashed = JobPhase(
        "hash", NOW - 31.0, NOW - 30.0, JobProgress("hash", 155 * mib, 155 * mib, 9, 9)
    )
    written = JobProgress("write", 310 * mib, 820 * mib, 118, 412, "/Windows/System32/ntoskrnl.exe")
    running = Job(
        4, "Rebuild from /mnt/windows and unmount", lambda: None, NOW - 31.0, progress=written,
        phases=(hashed, JobPhase("write", NOW - 30.0, 0.0, written)), survives=True,
        lines=("INFO the WIM is compressed anew with LZX",),
    )  # fmt: skip
    other = Job(
        3, "Commit /mnt/boot (started elsewhere)", lambda: None, NOW - 4.0,
        progress=JobProgress("sync"), is_cancelling=True,
    )  # fmt: skip
    failed = Job(
        2, "Commit /mnt/windows", lambda: None, NOW - 90.0, state=JobState.FAILED, ended=NOW - 88.0,
        summary="/srv/images: 3.0 G are free and 5.0 G needed; free some; the mount goes on",
    )  # fmt: skip
    done = Job(
        1, "Verify /srv/images/install.wim", lambda: None, NOW - 900.0, state=JobState.DONE,
        ended=NOW - 300.0, summary="all 120,105 blobs are as they should be",
    )  # fmt: skip
    found = [done, failed, other, running]
    for job in found:
        # No thread works here that could be waited for.
        job.survives = True
    return found


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_progress(snap_compare: Compare, home: Path, size: tuple[int, int]) -> None:
    app = WimtuiApp(services=Dirty(), user_settings=Settings())

    async def play(pilot: Pilot[None]) -> None:
        await clear(pilot)
        app.bridge.jobs.jobs = jobs()
        await pilot.press("J")
        await until_shown(pilot, "ntoskrnl.exe")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=play)


def test_what_has_no_room_cannot_be_begun(home: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        await ask(pilot, Way.REBUILD)
        button = pilot.app.screen.query_one("#go", Button)
        assert button.disabled
        await pilot.press("ctrl+s")
        await until_shown(pilot, "too little room there")
        await pilot.press("up")
        await until_shown(pilot, "70.0 G free")
        await until(pilot, lambda: not button.disabled, "there is room for that")
        assert "too little room" not in screen_text(pilot)

    drive(WimtuiApp(services=Dirty(), user_settings=Settings()), scenario)


class Late(Dirty):
    """Its daemon does not answer the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.is_answering = False

    def report_of(self, target: str) -> MountReport:
        if not self.is_answering:
            self.is_answering = True
            raise ControlError("the queue is full", hint="try again")
        return super().report_of(target)


def test_what_could_not_be_looked_at_is_looked_at_again(home: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        await clear(pilot)
        pilot.app.post_message(messages.CommitMount(DIRTY))
        await until_shown(pilot, "the queue is full → try again")
        await until_shown(pilot, "125 changes")
        assert "the queue is full" not in screen_text(pilot)

    drive(WimtuiApp(services=Late(), user_settings=Settings()), scenario)
