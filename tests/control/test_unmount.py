"""Unmounting: by the daemon, without it, and when it does not go as it should."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.control.conftest import StartDaemon, kill, record_of, wait_for
from wimtui.control.errors import (
    ControlTimeoutError,
    DaemonGoneError,
    MountBusyError,
    NotAMountError,
    QueueMissingError,
    RemoteError,
)
from wimtui.control.holders import find_holders
from wimtui.control.mountinfo import MountTable
from wimtui.control.processes import start_ticks
from wimtui.control.protocol import Disposition, Event, Unmount
from wimtui.control.registry import (
    MountRecord,
    MountStatus,
    find_mount,
    list_mounts,
    sweep,
)
from wimtui.control.registry_entry import mounts_folder
from wimtui.control.transport import SendQueue
from wimtui.control.unmount import unmount, unmount_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.mqueue

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_a_daemon_that_does_it_all(start_daemon: StartDaemon, runtime: Path) -> None:
    record = start_daemon()
    seen: list[Event] = []
    result = unmount(record, Unmount(), on_event=seen.append)
    assert result.by_daemon
    assert result.ended == seen[-1]
    assert start_ticks(record.entry.pid) is None
    assert list(mounts_folder(runtime).iterdir()) == []


def test_a_refusal(start_daemon: StartDaemon) -> None:
    record = start_daemon(unmount="busy")
    with pytest.raises(RemoteError) as caught:
        unmount(record, Unmount())
    assert caught.value.code == 79
    assert record_of(record.entry.mount_id).alive


def test_a_failure(start_daemon: StartDaemon) -> None:
    with pytest.raises(RemoteError, match="the disk is full") as caught:
        unmount(start_daemon(unmount="fail"), Unmount())
    assert caught.value.code == 72


def test_a_daemon_that_does_not_end(start_daemon: StartDaemon) -> None:
    record = start_daemon(unmount="stay")
    with pytest.raises(ControlTimeoutError, match="does not end"):
        unmount(record, Unmount(), end_s=0.1)


def test_a_daemon_that_dies_over_it(start_daemon: StartDaemon) -> None:
    with pytest.raises(DaemonGoneError):
        unmount(start_daemon(unmount="die"), Unmount(disposition=Disposition.COMMIT))


def test_a_dying_read_only_daemon_loses_nothing(start_daemon: StartDaemon) -> None:
    result = unmount(start_daemon(unmount="die", mode="ro"), Unmount())
    assert not result.by_daemon


def test_nothing_is_mounted(start_daemon: StartDaemon) -> None:
    record = start_daemon()
    kill(record.entry.pid)
    wait_for(lambda: not record_of(record.entry.mount_id).alive)
    with pytest.raises(NotAMountError):
        unmount(record_of(record.entry.mount_id), Unmount())
    covered = (record.entry.mount_point,)
    invalid = dataclasses.replace(
        record, status=MountStatus.INVALID, alive=True, mount_points=covered, is_covered=True
    )
    with pytest.raises(NotAMountError):
        unmount(invalid, Unmount())


def test_only_our_mounts_are_unmounted() -> None:
    for path in ("/", "/proc", "/nowhere"):
        with pytest.raises(NotAMountError) as caught:
            unmount_kernel(path)
        assert caught.value.code == 80


def test_holders(tmp_path: Path) -> None:
    assert find_holders(str(tmp_path)) == ()
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb"):
        (holder,) = find_holders(str(tmp_path))
        assert holder.pid == os.getpid()
        assert (holder.use, holder.path) == ("a file open for reading", str(tmp_path / "file"))
        assert find_holders(str(tmp_path)[:-1]) == ()
    with subprocess.Popen(["sleep", "600"], cwd=tmp_path) as child:
        wait_for(lambda: len(find_holders(str(tmp_path))) == 1)
        (holder,) = find_holders(str(tmp_path))
        assert (holder.pid, holder.use) == (child.pid, "its folder")
        child.kill()


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mount point"
    folder.mkdir()
    yield folder
    while MountTable.read().at(str(folder)) is not None:
        subprocess.run(["fusermount3", "-uz", folder], check=True)


@pytest.fixture
def fuse_daemon(point: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that mounts an empty file system of our type and has an entry and a queue."""
    with subprocess.Popen(
        [sys.executable, HERE / "fuse_daemon.py", point],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def found(point: Path) -> MountRecord:
    record = find_mount(point, list_mounts())
    assert record is not None
    return record


@pytest.mark.fuse
class TestRealMounts:
    def test_a_living_one(self, fuse_daemon: subprocess.Popen[str], point: Path) -> None:
        record = found(point)
        assert (record.status, record.alive) == (MountStatus.OK, True)
        assert record.mount_points == (str(point),)

    def test_a_killed_daemon_leaves_a_mount_that_can_be_cleared(
        self, fuse_daemon: subprocess.Popen[str], point: Path, runtime: Path
    ) -> None:
        name = found(point).entry.queue_name
        held = os.open(point / "file", os.O_RDONLY)
        fuse_daemon.kill()
        wait_for(lambda: found(point).status is MountStatus.DEAD)
        assert sweep() == ()
        unmount(found(point), Unmount())
        with pytest.raises(OSError, match="not connected"):
            os.close(held)
        assert MountTable.read().at(str(point)) is None
        assert list(point.iterdir()) == []
        assert list(mounts_folder(runtime).iterdir()) == []
        with pytest.raises(QueueMissingError):
            SendQueue.open(name)

    def test_fusermount_behind_our_back(
        self, fuse_daemon: subprocess.Popen[str], point: Path, runtime: Path
    ) -> None:
        subprocess.run(["fusermount3", "-u", point], check=True)
        assert fuse_daemon.wait(20) == 0
        assert list(mounts_folder(runtime).iterdir()) == []

    def test_a_busy_mount_names_who_uses_it(
        self, fuse_daemon: subprocess.Popen[str], point: Path
    ) -> None:
        with (point / "file").open("rb"), pytest.raises(MountBusyError) as caught:
            unmount_kernel(str(point))
        assert caught.value.code == 79
        assert f"process {os.getpid()}, a file open for reading" in str(caught.value)
        unmount_kernel(str(point))

    def test_a_passing_look_is_waited_for(
        self,
        fuse_daemon: subprocess.Popen[str],
        point: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        program = tmp_path / "fusermount3"
        program.write_text(
            f"""#!/bin/sh
            [ -e {tmp_path}/looked ] && exec {shutil.which("fusermount3")} "$@"
            touch {tmp_path}/looked
            echo "fusermount3: failed to unmount: Device or resource busy" >&2
            exit 1
            """
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        unmount_kernel(str(point))
        assert (tmp_path / "looked").exists()
        assert MountTable.read().at(str(point)) is None

    def test_a_hung_daemon_does_not_hang_us(
        self, fuse_daemon: subprocess.Popen[str], point: Path
    ) -> None:
        os.kill(fuse_daemon.pid, signal.SIGSTOP)
        assert found(point).status is MountStatus.OK
        unmount_kernel(str(point), lazy=True)
        assert MountTable.read().at(str(point)) is None

    def test_a_mount_without_its_entry(
        self, fuse_daemon: subprocess.Popen[str], point: Path, runtime: Path
    ) -> None:
        fuse_daemon.kill()
        fuse_daemon.wait()
        sweep()
        shutil.rmtree(runtime)
        record = found(point)
        assert (record.status, record.entry.mount_id) == (MountStatus.UNKNOWN, "")
        unmount(record, Unmount())
        assert MountTable.read().at(str(point)) is None

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can bind")
    def test_bind_mounts_keep_a_daemon(
        self, fuse_daemon: subprocess.Popen[str], point: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "bind"
        other.mkdir()
        subprocess.run(["mount", "--bind", point, other], check=True)
        record = dataclasses.replace(found(point), status=MountStatus.OK)
        assert set(record.mount_points) == {str(point), str(other)}
        entry = dataclasses.replace(record.entry, mode="ro", queue_name="/wimtui.0." + "0" * 16)
        with pytest.raises(ControlTimeoutError, match=f"also mounted at {other}"):
            unmount(dataclasses.replace(record, entry=entry), Unmount(), end_s=0.1)
        subprocess.run(["umount", other], check=True)
        assert fuse_daemon.wait(20) == 0
