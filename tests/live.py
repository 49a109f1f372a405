"""Mounts of one test: a runtime folder of its own, its daemons, and whether anything is left."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import posix_ipc
import pytest

from wimtui.service.mounts import list_mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLE = Path(__file__).resolve().parent.parent / "tools" / "sample" / "sample.wim"
DEADLINE_S = 60.0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.01)


class Live:
    """What runs under one runtime folder."""

    def __init__(self, runtime: Path) -> None:
        self.runtime = runtime

    def daemons(self) -> list[int]:
        """Processes that were started with this runtime folder to serve a mount."""
        return [
            pid
            for pid in _running()
            if b"wimtui.daemon" in _read(pid, "cmdline") and self._is_own(pid)
        ]

    def processes(self) -> list[int]:
        """All that have this runtime folder: also a daemon that still is a copy of its starter.

        And any process that is being started at this very moment, as its environment is not known.
        """
        return [
            pid
            for pid in _running()
            if self._is_own(pid) or (not _read(pid, "environ") and _has_program(pid))
        ]

    def _is_own(self, pid: int) -> bool:
        setting = b"WIMTUI_RUNTIME_DIR=" + os.fsencode(self.runtime)
        return setting in _read(pid, "environ").split(b"\0")

    def entries(self) -> list[Path]:
        """Registry files."""
        return sorted((self.runtime / "mounts").glob("*"))

    def mounts(self, where: Path) -> list[dict[str, Any]]:
        """What `wimtui mounts --json` says of a mount point, and sweeps, without its start-up."""
        found = [mount.as_json() for mount in list_mounts()]
        return [mount for mount in found if mount["mount_point"] == str(where)]

    def the_mount(self, where: Path) -> dict[str, Any]:
        (mount,) = self.mounts(where)
        return mount

    def kill_daemons(self) -> None:
        """Kill all; returns when the last thread of each is gone, and its locks with it."""
        for pid in self.daemons():
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                    poll = select.poll()
                    poll.register(descriptor, select.POLLIN)
                    assert poll.poll(DEADLINE_S * 1000), "the end of a daemon"
                finally:
                    os.close(descriptor)

    def nothing_left(self, where: Path, mount_ids: list[str]) -> None:
        """Nothing of these mounts is in the kernel, the registry, the queues or the processes."""
        assert str(where) not in mount_points()
        assert self.daemons() == [], [_read(pid, "stat") for pid in self.daemons()]
        assert self.entries() == []
        assert [one for one in mount_ids if queue_exists(one)] == []
        assert list((self.runtime / "clients").glob("*")) == []


def _running() -> list[int]:
    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal()]


def _read(pid: int, name: str) -> bytes:
    """What /proc tells of a process; nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _has_program(pid: int) -> bool:
    """Neither a thread of the kernel nor one that has ended."""
    try:
        return bool(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False


def mount_points() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    return [line.split(" ")[4] for line in lines]


def queue_exists(mount_id: str) -> bool:
    try:
        queue = posix_ipc.MessageQueue(f"/wimtui.{os.getuid()}.{mount_id}")
    except posix_ipc.ExistentialError:
        return False
    queue.close()
    return True


@pytest.fixture(autouse=True)
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """A runtime and a state folder of the test's own; what it leaves running is ended."""
    monkeypatch.setenv("WIMTUI_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    yield Live(tmp_path / "run")
    found = Live(tmp_path / "run")
    for pid in found.daemons():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not found.daemons(), "the end of daemons")


def clear(where: Path) -> None:
    """Take away whatever a killed daemon left."""
    subprocess.run(["fusermount3", "-uzq", where], check=False, capture_output=True)
