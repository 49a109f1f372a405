"""Runtime folders of their own for the tests of the control plane, and fake daemons in them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from wimtui.control.registry import MountRecord, list_mounts, sweep
from wimtui.control.spawn import DaemonCommand, spawn_daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 90.0


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder; what a test leaves running there is ended, and its queues are removed."""
    folder = tmp_path / "run"
    monkeypatch.setenv("WIMTUI_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield folder
    monkeypatch.setenv("WIMTUI_RUNTIME_DIR", str(folder))
    for record in list_mounts():
        if record.alive and record.entry.pid != os.getpid():
            kill(record.entry.pid)
    wait_for(lambda: not any(record.alive for record in list_mounts()))
    sweep()


@pytest.fixture
def command() -> DaemonCommand:
    return DaemonCommand(
        module="fake_daemon", environment={"PYTHONPATH": str(Path(__file__).parent)}
    )


class StartDaemon(Protocol):
    def __call__(self, **options: Any) -> MountRecord: ...


@pytest.fixture
def start_daemon(command: DaemonCommand) -> StartDaemon:
    def start(**options: Any) -> MountRecord:
        daemon = spawn_daemon(options, command=command)
        wait_for(lambda: record_of(daemon.mount_id).entry.state == "ok")
        return record_of(daemon.mount_id)

    return start


def record_of(mount_id: str) -> MountRecord:
    return next(record for record in list_mounts() if record.entry.mount_id == mount_id)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_for(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come about"
        time.sleep(0.01)
