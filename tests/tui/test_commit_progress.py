"""Commits as jobs: progress, cancelling, those begun by a shell, and the end of app or daemon."""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.tui.driving import ROOT, Mounter, drive, is_mounted, make_app, until, until_shown
from tests.tui.writable import Writable, choose
from wimtui.app import WimtuiApp, farewell
from wimtui.jobs import Job, JobState
from wimtui.screens.commit import CommitDialog
from wimtui.screens.jobs import JobsDialog
from wimtui.service.commits import CommitSettings
from wimtui.widgets.job_table import JobTable
from wimtui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.pilot import Pilot

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]

SLOW = CommitSettings(compress="LZMS", recompress=True)
"""The slowest there is."""


@pytest.fixture
def mount(wim: Path, mounter: Mounter) -> Iterator[Writable]:
    """Image 1 of the sample, writable and unchanged."""
    made = Writable(mounter, wim)
    yield made
    made.end()


def fill(mount: Writable, nbytes: int = 400_000) -> None:
    """Change so much that a commit takes long enough to be looked at, and stopped."""
    source = random.Random(1)
    for number in range(24):
        mount.write(f"text-{number}", base64.b64encode(source.randbytes(nbytes)))


def shell(mount: Writable, *words: str) -> subprocess.Popen[str]:
    """Begin to run a command on the mount, as a shell would."""
    return subprocess.Popen(
        [sys.executable, "-m", "wimtui", *words, str(mount.path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ,
    )  # fmt: skip


def app_of(pilot: Pilot[None]) -> WimtuiApp:
    assert isinstance(pilot.app, WimtuiApp)
    return pilot.app


async def only_job(pilot: Pilot[None]) -> Job:
    """Wait for a job, looking for mounts more often than the app does by itself."""
    app = app_of(pilot)

    def is_there() -> bool:
        app.bridge.mounts.poll(app)
        return bool(app.bridge.jobs.jobs)

    await until(pilot, is_there, "a job is listed")
    (job,) = app.bridge.jobs.jobs
    return job


async def begin(pilot: Pilot[None], mount: Writable, *, unmounts: bool = False) -> Job:
    """Begin a slow commit in the app; returns once it writes."""
    row = await choose(pilot, mount.path)
    job = app_of(pilot).bridge.commits.begin(row.summary, SLOW, unmounts=unmounts)
    await until(pilot, lambda: job.progress.bytes_done > 0, "it writes")
    return job


def test_the_panel_shows_a_commit_and_can_be_left_and_found_again(mount: Writable) -> None:
    fill(mount)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, mount.path)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommitDialog))
        asked = pilot.app.screen
        assert isinstance(asked, CommitDialog)
        asked.query_one("#recompress").value = True  # type: ignore[attr-defined]
        asked.query_one("#compress").value = "LZMS"  # type: ignore[attr-defined]
        await pilot.pause()
        assert asked.command() == (f"wimtui commit --recompress --compress=LZMS {mount.path}")
        await pilot.press("ctrl+s")
        job = await only_job(pilot)
        await until(pilot, lambda: isinstance(pilot.app.screen, JobsDialog), "the panel is shown")
        await until_shown(pilot, "write")
        await until(pilot, lambda: job.rate(app_of(pilot).bridge.services.now()) > 0, "a rate")
        await until_shown(pilot, " left")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, JobsDialog), "left")
        assert job.state is JobState.RUNNING
        await until_shown(pilot, "1 job running")
        await pilot.press("J")
        await until_shown(pilot, f"Rebuild from {mount.path}")
        await until(pilot, lambda: job.state is JobState.DONE, "it is done")
        await until_shown(pilot, "24 new blobs")
        assert [phase.name for phase in job.phases][:2] == ["scan", "hash"]
        assert all(phase.ended for phase in job.phases)

    drive(make_app(), scenario)
    assert mount.changes() == []


def test_a_panel_nobody_touched_goes_with_its_commit(mount: Writable) -> None:
    fill(mount, 200_000)

    async def scenario(pilot: Pilot[None]) -> None:
        job = await begin(pilot, mount)
        pilot.app.push_screen(JobsDialog(app_of(pilot).bridge, job))
        await until(pilot, lambda: job.state is JobState.DONE, "it is done")
        await until(pilot, lambda: not isinstance(pilot.app.screen, JobsDialog), "it is gone")

    drive(make_app(), scenario)


def test_cancelling_leaves_wim_mount_and_changes(mount: Writable) -> None:
    fill(mount)
    before = mount.wim.read_bytes()
    count = len(mount.changes())

    async def scenario(pilot: Pilot[None]) -> None:
        job = await begin(pilot, mount, unmounts=True)
        await pilot.press("J")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobsDialog))
        await pilot.press("c")
        await until(pilot, lambda: job.state is JobState.CANCELLED, "it is stopped")
        await until_shown(pilot, "the mount goes on")
        assert is_mounted(mount.path)

    drive(make_app(), scenario)
    assert mount.wim.read_bytes() == before
    assert len(mount.changes()) == count


def test_a_commit_begun_by_a_shell_is_followed_to_its_end(mount: Writable) -> None:
    fill(mount, 200_000)

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, mount.path)
        with shell(mount, "unmount", "--commit", "--compress=LZMS", "--recompress") as process:
            job = await only_job(pilot)
            assert job.title == f"Commit and unmount {mount.path} (started elsewhere)"
            await pilot.press("J")
            await until(pilot, lambda: job.progress.bytes_done > 0, "it shows how far it is")
            table = pilot.app.screen.query_one(JobTable)
            assert [row.number for row in table.rows] == [job.number]
            await until(pilot, lambda: job.state is not JobState.RUNNING, "it is over")
            assert process.wait(30) == 0, process.stderr
        assert (job.state, job.summary.split(",")[0]) == (JobState.DONE, "sample.wim: rebuilt")
        assert "24 new blobs" in job.summary

    drive(make_app(), scenario)
    assert not is_mounted(mount.path)


def test_a_commit_begun_by_a_shell_is_cancelled_from_the_app(mount: Writable) -> None:
    fill(mount)
    before = mount.wim.read_bytes()

    async def scenario(pilot: Pilot[None]) -> None:
        await choose(pilot, mount.path)
        with shell(mount, "commit", "--compress=LZMS", "--recompress") as process:
            job = await only_job(pilot)
            app_of(pilot).bridge.jobs.cancel(job)
            await until(pilot, lambda: job.state is not JobState.RUNNING, "it is over")
            assert process.wait(30) == 76
        assert job.state is JobState.CANCELLED
        assert "all changes stay staged" in job.summary

    drive(make_app(), scenario)
    assert mount.wim.read_bytes() == before
    assert len(mount.changes()) == 24


def test_a_commit_of_the_app_is_seen_by_wimtui_watch(mount: Writable) -> None:
    fill(mount)

    async def scenario(pilot: Pilot[None]) -> None:
        job = await begin(pilot, mount, unmounts=True)
        with shell(mount, "watch", "--json") as watcher:
            await until(pilot, lambda: job.state is not JobState.RUNNING, "it is over")
            told, _ = watcher.communicate(timeout=90)
        assert job.state is JobState.DONE, job.summary
        assert '"phase": "write"' in told
        assert '"operation": "unmount", "outcome": "done"' in told

    drive(make_app(), scenario)


def test_quitting_leaves_the_commit_to_the_daemon_and_says_so(mount: Writable) -> None:
    fill(mount, 200_000)
    app = make_app()
    told: list[str | None] = []

    async def scenario(pilot: Pilot[None]) -> None:
        await begin(pilot, mount, unmounts=True)
        told.append(farewell(app.mounts, app.bridge.jobs.jobs))

    drive(app, scenario)
    assert told[0] is not None
    assert f"goes on, as the mount's daemon does it: Rebuild from {mount.path}" in told[0]
    assert "wimtui watch DIR" in told[0]
    assert "stays as it is" not in told[0]
    mount.wait_unmounted()
    assert mount.stagings() == []
    assert "/text-7" in mount.names()


def test_the_death_of_the_daemon_ends_the_job_and_loses_nothing(mount: Writable) -> None:
    fill(mount)

    async def scenario(pilot: Pilot[None]) -> None:
        job = await begin(pilot, mount)
        row = await choose(pilot, mount.path)
        os.kill(row.summary.pid, signal.SIGKILL)
        await until(pilot, lambda: job.state is JobState.FAILED, "the job has failed")
        assert "the mount's daemon is gone" in job.summary
        assert "a remount brings it back" in job.summary
        await until_shown(pilot, "needs remount")

    drive(make_app(), scenario)
    assert len(mount.stagings()) == 1


def test_the_title_bar_counts_jobs_on_screens_opened_later(mount: Writable) -> None:
    fill(mount)

    async def scenario(pilot: Pilot[None]) -> None:
        job = await begin(pilot, mount)
        await pilot.press("L")
        bar = pilot.app.screen.query_one(TitleBar)
        await until(pilot, lambda: "1 job" in str(bar.query_one("#jobs").render()), "counted")
        app_of(pilot).bridge.jobs.cancel(job)
        await until(pilot, lambda: job.state is not JobState.RUNNING)

    drive(make_app(), scenario)
