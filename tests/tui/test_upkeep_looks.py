"""The look of Recover, of edits, of switches, and of mounts in all states, on both sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input, Select

from tests.tui.driving import drive, until, until_shown
from tests.tui.frozen import MOUNTS, NOW, WIM, FrozenServices, mount_summary
from tests.tui.test_snapshots import SIZES, settle
from wimtui import messages, upkeep_messages
from wimtui.app import WimtuiApp
from wimtui.screens.home import HomeScreen
from wimtui.screens.recover import RecoverScreen
from wimtui.screens.save_as import SaveAsDialog
from wimtui.service.mounts import MountStatus
from wimtui.service.recovery import Fit, Recoverable, Trouble, Way
from wimtui.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from textual.pilot import Pilot

    from wimtui.service.mounts import MountActivity, MountSummary

    Compare = Callable[..., bool]
    Play = Callable[[Pilot[None]], Awaitable[None]]

STAGING = f"{WIM}.staging-0123456789"
BOOT = "/srv/images/boot.wim"


def writable(number: int, point: str, status: MountStatus, *, wim: str = WIM) -> MountSummary:
    alive = status not in (MountStatus.DEAD, MountStatus.DETACHED)
    counted = None if alive else (1_204, 734_003_200)
    return replace(
        mount_summary(number, point, status, wim=wim), mode="rw", staging_path=STAGING,
        alive=alive, changes=counted and counted[0], staged_nbytes=counted and counted[1],
    )  # fmt: skip


STATES = (
    MOUNTS[0],
    writable(4, "/mnt/work", MountStatus.OK),
    writable(5, "/mnt/saving", MountStatus.COMMITTING),
    writable(6, "/mnt/crashed", MountStatus.DEAD, wim=BOOT),
    writable(7, "/mnt/kept", MountStatus.DETACHED),
    mount_summary(8, "/mnt/covered", MountStatus.INVALID),
)

FOUND = (
    Recoverable(
        target=STAGING, trouble=Trouble.DEAD,
        why="the daemon was killed or crashed; every change is safe",
        ways=(Way.REMOUNT, Way.COMMIT, Way.SAVE_AS, Way.DISCARD, Way.CLEAR), wim_path=WIM,
        image_index=3, image_name="Windows 11 Pro", mount_point="/mnt/windows",
        staging_path=STAGING, mode="rw", created=NOW - 7300.0, fit=Fit.SAME,
        kinds=(("added", 1_100), ("deleted", 4), ("modified", 100)), change_count=1_204,
        staged_nbytes=734_003_200,
    ),
    Recoverable(
        target="m", trouble=Trouble.DEAD, why="the daemon was killed or crashed",
        ways=(Way.REMOUNT, Way.CLEAR), wim_path=BOOT, image_index=1,
        image_name="Windows PE", mount_point="/home/ada/a rather long name of a folder/boot",
        mode="ro", created=NOW - 200.0,
    ),
    Recoverable(
        target="s", trouble=Trouble.DETACHED,
        why="the WIM has changed since the changes were staged",
        ways=(Way.SAVE_AS, Way.DISCARD), wim_path=BOOT, image_index=2, image_name="Setup",
        mount_point="/mnt/setup", staging_path=f"{BOOT}.staging-9876543210", mode="rw",
        created=NOW - 900_000.0, fit=Fit.CHANGED, kinds=(("modified", 2),), change_count=2,
        staged_nbytes=8192,
    ),
    Recoverable(
        target="c", trouble=Trouble.DETACHED,
        why="the commit was killed when all was written; only the staging folder is left",
        ways=(Way.REMOUNT, Way.DISCARD), wim_path=WIM, image_index=1, mount_point="/mnt/c",
        staging_path=f"{WIM}.staging-aa", mode="rw", created=NOW - 60.0, fit=Fit.COMMITTED,
    ),
    Recoverable(
        target=WIM, trouble=Trouble.HALF_WRITTEN,
        why="a write was killed before it counted; the archive is what it was before",
        ways=(Way.TRIM,), wim_path=WIM, created=NOW - 3000.0, left_nbytes=123_456_789,
    ),
)  # fmt: skip


class Troubled(FrozenServices):
    """Something needs a decision."""

    def recoverables(self) -> tuple[Recoverable, ...]:
        return FOUND


class AllStates(FrozenServices):
    """One mount in each state."""

    def list_mounts(self) -> tuple[MountSummary, ...]:
        return STATES

    def activity_of(self, mount_id: str) -> MountActivity:
        activity = super().activity_of(mount_id)
        if int(mount_id, 16) == 1:
            return activity
        return replace(activity, changes=1_204, staged_nbytes=734_003_200)


async def recover(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await until_shown(pilot, "was killed")


async def recover_half_written(pilot: Pilot[None]) -> None:
    await recover(pilot)
    await pilot.press("G")
    await settle(pilot)
    await until_shown(pilot, "Left behind")


async def save_as(pilot: Pilot[None]) -> None:
    await recover(pilot)
    await settle(pilot)
    app = pilot.app
    assert isinstance(app, WimtuiApp)
    app.push_screen(SaveAsDialog(app.bridge, "/srv/images/install-recovered.wim"))
    await settle(pilot)
    await until_shown(pilot, "Save as another WIM")


async def all_states(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await pilot.press("j")
    await settle(pilot)
    await until_shown(pilot, "1,204 changes")


async def a_dead_one(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await pilot.press("j", "j", "j")
    await settle(pilot)
    await until_shown(pilot, "R Remount")


async def wim(pilot: Pilot[None]) -> None:
    pilot.app.post_message(messages.ShowArchive(WIM))
    await settle(pilot)
    await until_shown(pilot, "Windows 11 Pro for")
    await settle(pilot)


async def edit_image(pilot: Pilot[None]) -> None:
    await wim(pilot)
    await pilot.press("j")
    # The hints below a dialog stay as they were when it opened.
    await settle(pilot)
    await pilot.press("e")
    await settle(pilot)
    await until_shown(pilot, "Others")


async def delete_image(pilot: Pilot[None]) -> None:
    await wim(pilot)
    await pilot.press("j", "j", "j")
    await settle(pilot)
    await pilot.press("x")
    await settle(pilot)
    await until_shown(pilot, "that no other image uses")


async def optimize(pilot: Pilot[None]) -> None:
    await wim(pilot)
    await pilot.press("O")
    await settle(pilot)
    await until_shown(pilot, "compress everything again")


async def switch_image(pilot: Pilot[None]) -> None:
    await settle(pilot)
    pilot.app.post_message(upkeep_messages.ChooseImage(MOUNTS[0]))
    await settle(pilot)
    await until_shown(pilot, "Windows 11 Pro for W")


async def switch_busy(pilot: Pilot[None]) -> None:
    await settle(pilot)
    app = pilot.app
    assert isinstance(app, WimtuiApp)
    wish = upkeep_messages.SwitchMount(MOUNTS[0], read_write=True)
    holders = app.bridge.services.holders_of(MOUNTS[0].mount_point)
    app.post_message(upkeep_messages.SwitchRefused(wish, "in use", holders))
    await settle(pilot)
    await until_shown(pilot, "setupact.log")


async def mount_read_write(pilot: Pilot[None]) -> None:
    pilot.app.post_message(messages.MountImage(WIM, 3))
    await settle(pilot)
    pilot.app.screen.query_one("#mode", Select).value = "rw"
    await settle(pilot)
    await until_shown(pilot, "123 G free")


async def capture(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await pilot.press("a")
    await settle(pilot)
    pilot.app.screen.query_one("#folder", Input).value = "/home/ada/wims/drivers"
    pilot.app.screen.query_one("#wim", Input).value = "/srv/images/drivers.wim"
    await settle(pilot)
    await until_shown(pilot, "wimtui capture /home")


LOOKS: list[tuple[type[FrozenServices], Play]] = [
    (Troubled, recover), (Troubled, recover_half_written), (Troubled, save_as),
    (AllStates, all_states), (AllStates, a_dead_one), (FrozenServices, edit_image),
    (FrozenServices, delete_image), (FrozenServices, optimize), (FrozenServices, switch_image),
    (FrozenServices, switch_busy), (FrozenServices, mount_read_write), (FrozenServices, capture),
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(("services", "play"), LOOKS, ids=[play.__name__ for _, play in LOOKS])
def test_look(
    snap_compare: Compare,
    home: Path,
    services: type[FrozenServices],
    play: Play,
    size: tuple[int, int],
) -> None:
    app = WimtuiApp(services=services(), user_settings=Settings())
    assert snap_compare(app, terminal_size=size, run_before=play)


def test_recover_closes_when_all_of_ones_own_is_decided() -> None:
    class Changing(FrozenServices):
        found: tuple[Recoverable, ...] = ()

        def recoverables(self) -> tuple[Recoverable, ...]:
            return self.found

    other = replace(FOUND[1], is_own=False)
    services = Changing()

    async def now_found(pilot: Pilot[None], found: tuple[Recoverable, ...]) -> None:
        services.found = found
        await pilot.press("r")
        await settle(pilot)

    async def scenario(pilot: Pilot[None]) -> None:
        await settle(pilot)
        await pilot.press("ctrl+r")
        await until_shown(pilot, "Nothing needs to be recovered")
        await now_found(pilot, (other,))
        await until_shown(pilot, "the daemon was killed")
        await now_found(pilot, ())
        await until_shown(pilot, "Nothing needs to be recovered")
        assert isinstance(pilot.app.screen, RecoverScreen)
        await now_found(pilot, (FOUND[0], other))
        await until_shown(pilot, "/mnt/windows")
        await now_found(pilot, (other,))
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen), "all is decided")

    drive(WimtuiApp(services=services, user_settings=Settings()), scenario)
