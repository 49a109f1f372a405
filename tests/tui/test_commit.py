"""What becomes of staged changes: every way of the dialog, on real read-write mounts."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Button, Input

from tests.tui.driving import (
    Mounter,
    drive,
    is_mounted,
    make_app,
    screen_text,
    type_text,
    until,
    until_shown,
)
from tests.tui.writable import Writable, choose
from wimtui.app import WimtuiApp
from wimtui.jobs import JobState
from wimtui.screens.commit import CommitDialog
from wimtui.screens.commit_form import CommitForm
from wimtui.screens.commit_ways import Way
from wimtui.screens.unmount import UnmountDialog
from wimtui.service import archives, mounts
from wimtui.service.mounts import MountStatus
from wimtui.widgets.check import Check
from wimtui.widgets.choice_list import ChoiceList
from wimtui.widgets.mount_table import MountTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.pilot import Pilot

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]


@pytest.fixture
def mount(wim: Path, mounter: Mounter) -> Iterator[Writable]:
    """Image 1 of the sample, writable and unchanged."""
    made = Writable(mounter, wim)
    yield made
    made.end()


def dialog(pilot: Pilot[None]) -> CommitDialog:
    """The dialog on top."""
    assert isinstance(pilot.app.screen, CommitDialog), screen_text(pilot)
    return pilot.app.screen


async def ask(pilot: Pilot[None], mount: Writable, key: str) -> CommitDialog:
    """Open the dialog, which then knows what is staged."""
    await choose(pilot, mount.path)
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, CommitDialog), "it asks")
    await until_shown(pilot, "staged")
    await until(pilot, lambda: "change" in str(dialog(pilot).query_one("#staged").render()))
    return dialog(pilot)


async def take(pilot: Pilot[None], way: Way) -> None:
    """Put the cursor on a way."""
    ways = dialog(pilot).query_one(ChoiceList)
    ways.focus()
    ways.highlighted = [option.id for option in ways.options].index(way.value)
    await until(pilot, lambda: ways.chosen == way.value)
    await pilot.pause()


async def ended(pilot: Pilot[None]) -> str:
    """Wait for a commit, and return what the app says of it."""
    app = pilot.app
    assert isinstance(app, WimtuiApp)
    jobs = app.bridge.jobs
    await until(pilot, lambda: jobs.jobs and not jobs.running, "the commit is over")
    assert jobs.jobs[-1].state is JobState.DONE, jobs.jobs[-1].summary
    await until(pilot, lambda: [note.message for note in app._notifications], "it is told")
    return jobs.jobs[-1].summary


def test_c_commits_and_stays(mount: Writable) -> None:
    mount.write("new.txt", b"new")

    async def scenario(pilot: Pilot[None]) -> None:
        asked = await ask(pilot, mount, "c")
        assert asked.command() == f"wimtui commit {mount.path}"
        await pilot.press("enter")
        assert "1 new blob" in await ended(pilot)
        assert is_mounted(mount.path)

    drive(make_app(), scenario)
    assert mount.changes() == []
    assert "/new.txt" in mount.names()


def test_u_on_a_clean_mount_asks_nothing(mount: Writable) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, mount.path)
        await pilot.press("u")
        await until(pilot, lambda: not is_mounted(mount.path), "unmounted")
        await until_shown(pilot, "Unmounted")

    drive(make_app(), scenario)
    assert mount.stagings() == []


@pytest.mark.parametrize("way", [Way.COMMIT, Way.REBUILD])
def test_u_commits_and_unmounts(mount: Writable, way: Way) -> None:
    mount.write("new.txt", b"new")

    async def scenario(pilot: Pilot[None]) -> None:
        asked = await ask(pilot, mount, "u")
        await take(pilot, way)
        asked.query_one("#check", Check).value = True
        flags = "--rebuild --check" if way is Way.REBUILD else "--check"
        assert asked.command() == f"wimtui unmount --commit {flags} {mount.path}"
        await pilot.press("enter")
        summary = await ended(pilot)
        assert ("rebuilt" in summary) is (way is Way.REBUILD)
        assert not is_mounted(mount.path)

    drive(make_app(), scenario, size=(80, 24))
    assert mount.stagings() == []
    assert "/new.txt" in mount.names()
    assert "integrity table ok" in mount.verify()


def test_a_new_image_is_named_and_the_old_one_stays(mount: Writable) -> None:
    mount.write("new.txt", b"new")

    async def scenario(pilot: Pilot[None]) -> None:
        asked = await ask(pilot, mount, "c")
        await take(pilot, Way.NEW_IMAGE)
        taken = archives.inspect_archive(str(mount.wim)).images[1].name
        await until(pilot, lambda: asked.query_one(CommitForm).taken, "names are known")
        await pilot.press("enter")
        name = asked.query_one("#name", Input)
        name.value = taken
        await until_shown(pilot, "image 2 has that name")
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, CommitDialog)
        name.value = "Other"
        asked.query_one("#description", Input).value = "made here"
        asked.query_one("#boot", Check).value = True
        await pilot.pause()
        assert asked.command() == (
            f"wimtui commit --new-image --boot --name=Other '--description=made here' {mount.path}"
        )
        await pilot.press("enter")
        assert "image 3 written" in await ended(pilot)

    drive(make_app(), scenario)
    facts = archives.inspect_archive(str(mount.wim))
    assert (facts.image_count, facts.boot_index) == (3, 3)
    assert (facts.images[2].name, facts.images[2].description) == ("Other", "made here")
    assert "/new.txt" in mount.names(3)
    assert "/new.txt" not in mount.names(1)


def test_save_as_leaves_the_wim_and_what_is_staged(mount: Writable) -> None:
    mount.write("new.txt", b"new")
    before = mount.wim.read_bytes()
    other = mount.wim.with_name("other.wim")

    async def scenario(pilot: Pilot[None]) -> None:
        asked = await ask(pilot, mount, "c")
        await take(pilot, Way.SAVE_AS)
        assert asked.query_one("#go", Button).disabled
        await pilot.press("enter")
        asked.query_one("#path", Input).value = str(other)
        await pilot.pause()
        await pilot.press("enter")
        assert "other.wim: image 1 written" in await ended(pilot)

    drive(make_app(), scenario)
    assert mount.wim.read_bytes() == before
    assert mount.changes() == ["/new.txt"]
    assert "/new.txt" in mount.names(wim=other)


def test_a_small_discard_says_what_is_lost(mount: Writable) -> None:
    before = mount.wim.read_bytes()
    mount.write("new.txt", b"new")
    (mount.path / "notepad.lnk").unlink()

    async def scenario(pilot: Pilot[None]) -> None:
        asked = await ask(pilot, mount, "u")
        await take(pilot, Way.DISCARD)
        await until_shown(pilot, "Lost for good: 1 new file (3 B)")
        await until_shown(pilot, "/new.txt")
        await until_shown(pilot, "What was deleted comes back: 1.")
        assert asked.command() == f"wimtui unmount --discard {mount.path}"
        await pilot.press("enter")
        assert is_mounted(mount.path)
        assert asked.focused is asked.query_one("#go")
        await until_shown(pilot, "Discard 2 changes")
        await pilot.press("enter")
        await until(pilot, lambda: not is_mounted(mount.path), "unmounted")
        await until_shown(pilot, "discarded")

    drive(make_app(), scenario)
    assert mount.stagings() == []
    assert mount.wim.read_bytes() == before


def test_a_large_discard_wants_the_name_of_the_mount_point(mount: Writable) -> None:
    for number in range(101):
        mount.write(f"file-{number}", b"x")

    async def scenario(pilot: Pilot[None]) -> None:
        asked = await ask(pilot, mount, "u")
        await take(pilot, Way.DISCARD)
        await until_shown(pilot, "101 new files")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "type rw, the name of the mount point")
        assert is_mounted(mount.path)
        await pilot.press("enter")
        assert asked.focused is asked.query_one("#confirm")
        await type_text(pilot, "rx")
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, CommitDialog)
        await pilot.press("backspace")
        await type_text(pilot, "w")
        await pilot.press("enter")
        await until(pilot, lambda: not is_mounted(mount.path), "unmounted")
        await until_shown(pilot, "discarded")

    drive(make_app(), scenario, size=(80, 24))
    assert mount.stagings() == []


def test_detached_changes_are_committed_without_a_mount(mount: Writable) -> None:
    mount.write("new.txt", b"new")

    async def scenario(pilot: Pilot[None]) -> None:
        await ask(pilot, mount, "u")
        await take(pilot, Way.DETACH)
        await pilot.press("enter")
        await until(pilot, lambda: not is_mounted(mount.path), "unmounted")
        await until_shown(pilot, "its changes stay staged in")
        assert len(mount.stagings()) == 1
        await until(pilot, lambda: _status(pilot, mount) is MountStatus.DETACHED, "detached")
        asked = await ask(pilot, mount, "c")
        ways = asked.query_one(ChoiceList)
        assert Way.DETACH.value not in {option.id for option in ways.options}
        assert asked.command() == f"wimtui commit {mount.stagings()[0]}"
        await pilot.press("enter")
        assert "1 new blob" in await ended(pilot)

    drive(make_app(), scenario)
    assert mount.stagings() == []
    assert "/new.txt" in mount.names()


def test_detached_changes_are_discarded(mount: Writable) -> None:
    mount.write("new.txt", b"new")

    async def scenario(pilot: Pilot[None]) -> None:
        mount.keep()
        await until(pilot, lambda: _status(pilot, mount) is MountStatus.DETACHED, "detached")
        asked = await ask(pilot, mount, "c")
        await take(pilot, Way.DISCARD)
        assert asked.command() == f"wimtui cleanup {mount.stagings()[0]}"
        await until_shown(pilot, "/new.txt")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not mount.stagings(), "discarded")
        await until(pilot, lambda: not isinstance(pilot.app.screen, CommitDialog), "closed")

    drive(make_app(), scenario)
    assert "/new.txt" not in mount.names()


def test_x_on_what_was_left_staged_proposes_to_drop_it(mount: Writable) -> None:
    mount.write("new.txt", b"new")

    async def scenario(pilot: Pilot[None]) -> None:
        mount.keep()
        await until(pilot, lambda: _status(pilot, mount) is MountStatus.DETACHED, "detached")
        asked = await ask(pilot, mount, "x")
        assert asked.query_one(ChoiceList).chosen == Way.DISCARD.value
        await until_shown(pilot, "Lost for good: 1 new file")
        # Enter goes to the button that says what is lost, and no further.
        await pilot.press("enter")
        await until(pilot, lambda: asked.focused is asked.query_one("#go"), "asked once more")
        assert mount.stagings()
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, CommitDialog), "left")
        asked = await ask(pilot, mount, "c")
        assert asked.query_one(ChoiceList).chosen == Way.COMMIT.value

    drive(make_app(), scenario)
    assert len(mount.stagings()) == 1


def _status(pilot: Pilot[None], mount: Writable) -> MountStatus | None:
    rows = pilot.app.screen_stack[0].query_one(MountTable).rows
    found = [row.summary.status for row in rows if row.summary.mount_point == str(mount.path)]
    return found[0] if found else None


def test_a_commit_waits_for_those_who_use_the_mount(mount: Writable) -> None:
    mount.write("new.txt", b"new")
    holder = subprocess.Popen(["sleep", "600"], cwd=mount.path)

    async def scenario(pilot: Pilot[None]) -> None:
        asked = await ask(pilot, mount, "u")
        await until_shown(pilot, str(holder.pid))
        assert not asked.query_one("#go").display
        await pilot.press("enter")
        await until_shown(pilot, "waiting until nobody uses it")
        assert is_mounted(mount.path)
        holder.kill()
        holder.wait()
        assert "1 new blob" in await ended(pilot)
        assert not is_mounted(mount.path)

    try:
        drive(make_app(), scenario)
    finally:
        holder.kill()
        holder.wait()
    assert "/new.txt" in mount.names()


def test_force_commits_and_unmounts_a_busy_mount(mount: Writable) -> None:
    mount.write("new.txt", b"new")
    holder = subprocess.Popen(["sleep", "600"], cwd=mount.path)

    async def scenario(pilot: Pilot[None]) -> None:
        await ask(pilot, mount, "u")
        await until_shown(pilot, str(holder.pid))
        await pilot.press("f")
        assert "1 new blob" in await ended(pilot)
        assert not is_mounted(mount.path)

    try:
        drive(make_app(), scenario)
    finally:
        holder.kill()
        holder.wait()
    assert "/new.txt" in mount.names()


def test_what_is_written_meanwhile_is_asked_about(mount: Writable) -> None:
    """A clean mount in use may be changed while the app waits for its holders."""
    holder = subprocess.Popen(["sleep", "600"], cwd=mount.path)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, mount.path)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(pilot.app.screen, UnmountDialog), "in use")
        mount.write("new.txt", b"new")
        holder.kill()
        holder.wait()
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommitDialog), "it asks")
        assert is_mounted(mount.path)
        await pilot.press("escape")

    try:
        drive(make_app(), scenario)
    finally:
        holder.kill()
        holder.wait()
    assert mount.changes() == ["/new.txt"]


def test_changes_made_while_the_dialog_is_open_are_shown(mount: Writable) -> None:
    mount.write("one.txt", b"1")

    async def scenario(pilot: Pilot[None]) -> None:
        await ask(pilot, mount, "u")
        await until_shown(pilot, "1 change:")
        mount.write("two.txt", b"2")
        await until_shown(pilot, "2 changes:")
        await pilot.press("escape")

    drive(make_app(), scenario)
    assert is_mounted(mount.path)


def kill_daemon(mount: Writable) -> None:
    """Kill the daemon as nothing can survive; returns when it is gone."""
    pid = mounts.find_mount(str(mount.path)).pid
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(30_000)
    finally:
        os.close(descriptor)


def test_what_a_dead_daemon_left_is_committed(mount: Writable) -> None:
    mount.write("new.txt", b"new")

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, mount.path)
        kill_daemon(mount)
        await until(pilot, lambda: _status(pilot, mount) is MountStatus.DEAD, "it is dead")
        asked = await ask(pilot, mount, "u")
        assert asked.query_one("#stays", Check).disabled
        await pilot.press("enter")
        assert "1 new blob" in await ended(pilot)
        assert not is_mounted(mount.path)

    drive(make_app(), scenario)
    assert mount.stagings() == []
    assert "/new.txt" in mount.names()


def test_what_a_dead_daemon_left_is_kept(mount: Writable) -> None:
    mount.write("new.txt", b"new")

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, mount.path)
        kill_daemon(mount)
        await until(pilot, lambda: _status(pilot, mount) is MountStatus.DEAD, "it is dead")
        await ask(pilot, mount, "u")
        await take(pilot, Way.DETACH)
        await until_shown(pilot, "Clear, keep")
        await pilot.press("enter")
        await until(pilot, lambda: not is_mounted(mount.path), "cleared")
        await until_shown(pilot, "its changes stay staged in")

    drive(make_app(), scenario)
    assert len(mount.stagings()) == 1


def test_a_readonly_app_commits_nothing(mount: Writable) -> None:
    mount.write("new.txt", b"new")

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, mount.path)
        await pilot.press("c", "u")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, CommitDialog)

    drive(make_app(readonly=True), scenario)
    assert mount.changes() == ["/new.txt"]
