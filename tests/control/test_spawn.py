"""Starting daemons: ready, refused, crashed, silent."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.control.conftest import StartDaemon, kill, record_of, wait_for
from wimtui.control.errors import DaemonStartError, RemoteError
from wimtui.control.handshake import StartProgress
from wimtui.control.processes import start_ticks
from wimtui.control.registry import list_mounts
from wimtui.control.spawn import DaemonCommand, spawn_daemon

pytestmark = pytest.mark.mqueue

ROOT = Path(__file__).resolve().parents[2]


def test_a_daemon_that_stands(start_daemon: StartDaemon) -> None:
    record = start_daemon(start="ready", mount_point="/mnt/a b\udcff")
    assert record.alive
    assert record.entry.mount_point == "/mnt/a b\udcff"
    assert record.entry.pid != os.getpid()


def test_it_depends_on_nothing_of_its_starter(command: DaemonCommand) -> None:
    seen: list[StartProgress] = []
    daemon = spawn_daemon({"start": "facts"}, command=command, on_progress=seen.append)
    assert seen == [StartProgress("facts /|True|/dev/null|/dev/null")]
    wait_for(lambda: os.readlink(f"/proc/{daemon.pid}/fd/2") == "/dev/null")
    kept = [f"/proc/{daemon.pid}/fd/{fd.name}" for fd in Path(f"/proc/{daemon.pid}/fd").iterdir()]
    links = []
    for link in kept:
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(link))
    assert not [link for link in links if link.startswith(("pipe:", "/memfd:"))]
    kill(daemon.pid)
    # Its starter lives on and leaves no zombie.
    wait_for(lambda: not Path(f"/proc/{daemon.pid}").exists())


def test_it_outlives_its_starter(command: DaemonCommand) -> None:
    code = f"""
        from wimtui.control.spawn import *
        command = DaemonCommand("fake_daemon", environment={dict(command.environment)!r})
        print(spawn_daemon({{}}, command=command).mount_id)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    record = record_of(done.stdout.strip())
    assert record.alive
    kill(record.entry.pid)


def test_progress_is_passed_on(command: DaemonCommand) -> None:
    seen: list[StartProgress] = []
    daemon = spawn_daemon({"start": "progress"}, command=command, on_progress=seen.append)
    kill(daemon.pid)
    assert seen == [StartProgress("verify", number, 3) for number in range(3)]


def test_an_error_is_the_daemons_own(command: DaemonCommand) -> None:
    with pytest.raises(RemoteError, match="no image 7; there are 3") as caught:
        spawn_daemon({"start": "error"}, command=command)
    assert caught.value.code == 18


def test_a_crash_shows_the_last_words(command: DaemonCommand) -> None:
    with pytest.raises(DaemonStartError, match=r"status 3 .*\na traceback would be here"):
        spawn_daemon({"start": "crash"}, command=command)


def test_a_killed_daemon(command: DaemonCommand) -> None:
    with pytest.raises(DaemonStartError, match=r"killed by signal 9 .* said nothing"):
        spawn_daemon({"start": "killed"}, command=command)


def test_a_module_that_does_not_exist(command: DaemonCommand) -> None:
    command = dataclasses.replace(command, module="wimtui.no_such_daemon")
    with pytest.raises(DaemonStartError, match="No module named"):
        spawn_daemon({}, command=command)


def test_rubbish_for_a_report(command: DaemonCommand) -> None:
    with pytest.raises(DaemonStartError, match="reports b'what"):
        spawn_daemon({"start": "rubbish"}, command=command)


@pytest.mark.slow
def test_a_silent_daemon_is_ended(command: DaemonCommand) -> None:
    command = dataclasses.replace(command, silence_s=3.0)
    seen: list[StartProgress] = []
    with pytest.raises(DaemonStartError, match="within 3 s"):
        spawn_daemon({"start": "silent"}, command=command, on_progress=seen.append)
    assert start_ticks(int(seen[0].phase)) is None


def test_an_interrupted_start_ends_the_daemon(command: DaemonCommand) -> None:
    def interrupt(_: StartProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spawn_daemon({"start": "progress"}, command=command, on_progress=interrupt)
    assert not any(record.alive for record in list_mounts())


def test_an_interrupt_before_the_daemon_is_known_ends_it(command: DaemonCommand) -> None:
    # A process of its own: signals go to a main thread, where not every runner has its tests.
    code = f"""
        import signal, subprocess
        from wimtui.control.spawn import DaemonCommand, spawn_daemon

        # What runs in the background of a shell has it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        class Interrupted(subprocess.Popen):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                print(self.pid)
                signal.raise_signal(signal.SIGINT)

        subprocess.Popen = Interrupted
        command = DaemonCommand("fake_daemon", environment={dict(command.environment)!r})
        try:
            spawn_daemon({{"start": "silent"}}, command=command)
        except KeyboardInterrupt:
            print("interrupted")
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    pid, said = done.stdout.split()
    assert said == "interrupted"
    assert start_ticks(int(pid)) is None


def test_options_of_any_size(start_daemon: StartDaemon) -> None:
    assert start_daemon(rubbish="x" * 1_000_000).alive


def test_modules_in_the_current_folder_are_not_taken(
    command: DaemonCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "posix_ipc.py").write_text("raise SystemExit(9)", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    kill(spawn_daemon({}, command=command).pid)


@pytest.mark.parametrize(("start", "status"), [("error", 18), ("crash", 3)])
def test_in_the_foreground_the_process_becomes_the_daemon(
    command: DaemonCommand, start: str, status: int
) -> None:
    code = f"""
        import os
        from wimtui.control.spawn import *
        command = DaemonCommand("fake_daemon", environment={dict(command.environment)!r})
        become_daemon({{"start": {start!r}}}, command=command)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == status
    if start == "error":
        assert done.stderr == "wimtui: no image 7; there are 3\n"


def test_the_environment_finds_this_wimtui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert DaemonCommand().variables()["PYTHONPATH"] == str(ROOT)
    monkeypatch.setenv("PYTHONPATH", "/else")
    assert DaemonCommand().variables()["PYTHONPATH"] == f"{ROOT}:/else"
