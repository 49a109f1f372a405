"""What the commit dialog says of each way, and the commands that it shows."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from tests.tui.frozen import MOUNTS, WIM
from wimtui.app import farewell
from wimtui.cli.commands.commit import settings_of
from wimtui.cli.parser import build_parser
from wimtui.jobs import Job, JobProgress, JobState
from wimtui.screens.commit_ways import (
    Way,
    command_of,
    explanation_of,
    loss_text,
    lost_files,
    name_to_type,
    staged_text,
    ways_of,
)
from wimtui.service.changes import MountReport, StagedChange
from wimtui.service.commits import CommitSettings
from wimtui.service.mounts import MountStatus
from wimtui.widgets.job_table import job_log

STAGING = "/srv/my images/install.wim.staging-1"
MOUNT = replace(MOUNTS[0], mode="rw", mount_point="/mnt/my windows", staging_path=STAGING)
DETACHED = replace(MOUNT, status=MountStatus.DETACHED, alive=False)

WRITING = [
    (Way.COMMIT, CommitSettings()),
    (Way.COMMIT, CommitSettings(check=True, recompress=True, solid=True, compress="LZMS")),
    (Way.REBUILD, CommitSettings(rebuild=True, compress="none")),
    (Way.NEW_IMAGE, CommitSettings(new_image=True)),
    (Way.NEW_IMAGE, CommitSettings(new_image=True, name="-x y", description="it's", boot=True)),
    (Way.SAVE_AS, CommitSettings(save_as="/tmp/other one.wim")),
]


@pytest.mark.parametrize(("way", "settings"), WRITING)
def test_commands_say_the_same_as_the_form(way: Way, settings: CommitSettings) -> None:
    parser = build_parser()
    for mount, unmounts, target in (
        (MOUNT, False, MOUNT.mount_point),
        (MOUNT, True, MOUNT.mount_point),
        (DETACHED, False, STAGING),
    ):
        words = shlex.split(command_of(mount, way, settings, unmounts=unmounts))
        assert words.pop(0) == "wimtui"
        parsed = parser.parse_args(words)
        assert settings_of(parsed) == settings
        assert (parsed.directory if unmounts else parsed.target) == target
        assert not unmounts or parsed.commit


def test_commands_that_write_nothing() -> None:
    parser = build_parser()
    for mount, way, words in (
        (MOUNT, Way.DISCARD, ["unmount", "--discard", MOUNT.mount_point]),
        (MOUNT, Way.DETACH, ["unmount", "--keep", MOUNT.mount_point]),
        (DETACHED, Way.DISCARD, ["cleanup", STAGING]),
    ):
        command = command_of(mount, way, CommitSettings(), unmounts=True)
        assert shlex.split(command) == ["wimtui", *words]
        parser.parse_args(words)


def test_what_is_not_mounted_cannot_be_detached() -> None:
    assert Way.DETACH in ways_of(MOUNT)
    assert Way.DETACH not in ways_of(DETACHED)
    for way in ways_of(MOUNT):
        assert way is Way.DISCARD or explanation_of(way, MOUNT, unmounts=True)


def change(kind: str, path: str, size: int | None = None, *, folder: bool = False) -> StagedChange:
    return StagedChange(kind, path, None, (), None, size, is_directory=folder)


def report(*changes: StagedChange) -> MountReport:
    return MountReport("/m", WIM, 1, "x", "rw", "ok", 1.0, 0, STAGING, 2048, changes)


def test_losses_are_counted_by_kind() -> None:
    found = report(
        change("added", "/a", 1024), change("added", "/d", folder=True),
        change("modified", "/b", 2048), change("modified", "/c", 0),
        change("deleted", "/e"), change("renamed", "/f", 5),
    )  # fmt: skip
    assert staged_text(found) == (
        "6 changes: 2 added, 2 modified, 1 deleted, 1 renamed · 2.0 K staged"
    )
    assert loss_text(found) == (
        "Lost for good: 1 new file (1.0 K), 1 new folder, 2 changed files (2.0 K), 1 new name. "
        "What was deleted comes back: 1."
    )
    assert lost_files(found) == 5
    assert staged_text(report()) == "Nothing has changed."
    assert loss_text(report()) == "Lost for good: nothing."


def test_the_name_asked_for_is_the_mount_points_or_else_the_images() -> None:
    assert name_to_type(MOUNT) == ("my windows", "mount point")
    assert name_to_type(replace(MOUNT, mount_point="")) == (MOUNT.image_name, "image")


def make_job(*, survives: bool = True) -> Job:
    return Job(1, "Commit /mnt/a\nb", lambda: None, 100.0, survives=survives)


def test_phases_have_rates_of_their_own() -> None:
    job = make_job()
    job.take(JobProgress("hash", 100, 100), 100.0)
    job.take(JobProgress("write", 0, 1000), 110.0)
    job.take(JobProgress("write", 400, 1000), 114.0)
    assert [phase.name for phase in job.phases] == ["hash", "write"]
    assert (job.phases[0].ended, job.phases[1].ended) == (110.0, 0.0)
    assert job.rate(114.0) == pytest.approx(100.0)
    assert job.seconds_left(114.0) == pytest.approx(6.0)
    job.note("WARN \x1b[31mred")
    lines = [line.text for line in job_log(job, 114.0)]
    assert lines[0].startswith("✓ hash")
    assert lines[1].startswith("● write")
    assert "\x1b" not in lines[2]
    job.end_phase(115.0)
    job.state = JobState.FAILED
    assert job_log(job, 115.0)[1].text.startswith("✗ write")


def test_a_phase_joined_late_has_its_whole_rate() -> None:
    job = make_job()
    job.take(JobProgress("write", 500, 1000), 100.0, in_phase_s=5.0)
    assert job.rate(100.0) == pytest.approx(100.0)


def test_the_farewell_tells_jobs_that_go_on_from_those_that_end() -> None:
    own, ended = make_job(survives=False), make_job()
    ended.state = JobState.DONE
    told = farewell([], [make_job(), own, ended])
    assert told is not None
    lines = told.split("\n")
    assert len(lines) == 3
    assert "goes on" in lines[0]
    assert "stopped" in lines[1]
    assert farewell([], [ended]) is None
