"""Every way in which a mount ends, and that nothing is left of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.dice import thrown_seed
from tests.live import SAMPLE, Live, clear, mount_points, queue_exists, wait_for
from tests.mounting import WIMTUI, mount_point, wimtui
from wimtui.service.mounts import unmount_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]

KILLS = 30


@pytest.fixture
def where() -> Iterator[Path]:
    with mount_point() as folder:
        try:
            yield folder
        finally:
            clear(folder)


def mount(where: Path, image: str = "1") -> None:
    wimtui("mount", SAMPLE, image, where)


def test_unmount_returns_when_all_is_gone(live: Live, where: Path) -> None:
    mount(where)
    made = live.the_mount(where)
    assert made["status"] == "ok"
    assert live.daemons() == [made["pid"]]
    assert queue_exists(made["mount_id"])
    wimtui("unmount", where)
    live.nothing_left(where, [made["mount_id"]])
    assert "is mounted" in wimtui("unmount", where, code=80).stderr
    assert list(where.iterdir()) == []


def test_a_busy_mount_says_who_holds_it(live: Live, where: Path) -> None:
    mount(where)
    with (where / "setup.exe").open("rb"):
        said = wimtui("unmount", where, code=79).stderr
        assert f"process {os.getpid()}" in said
        assert "--force" in said
        assert live.the_mount(where)["status"] == "ok"
    sleeper = subprocess.Popen(["sleep", "60"], cwd=where / "Windows")
    try:
        said = wimtui("unmount", where, code=79).stderr
        assert f"sleep (process {sleeper.pid}" in said
        mount_id = live.the_mount(where)["mount_id"]
        wimtui("unmount", where, "--force")
        live.nothing_left(where, [mount_id])
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.parametrize("command", [["fusermount3", "-u"], ["umount"]])
def test_the_kernel_is_told_to_unmount(live: Live, where: Path, command: list[str]) -> None:
    if command == ["umount"] and os.getuid() != 0:
        pytest.skip("umount is for root")
    mount(where)
    mount_id = live.the_mount(where)["mount_id"]
    subprocess.run([*command, where], check=True)
    wait_for(lambda: not live.daemons(), "the daemon's end")
    live.nothing_left(where, [mount_id])
    wimtui("unmount", where, code=80)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts(live: Live, where: Path, number: signal.Signals) -> None:
    mount(where)
    made = live.the_mount(where)
    os.kill(made["pid"], number)
    wait_for(lambda: not live.daemons(), "the daemon's end")
    live.nothing_left(where, [made["mount_id"]])


def test_a_lost_terminal_does_not_matter(live: Live, where: Path) -> None:
    mount(where)
    os.kill(live.the_mount(where)["pid"], signal.SIGHUP)
    assert (where / "setup.exe").read_bytes()
    wimtui("unmount", where)


def test_a_killed_daemon_shows_as_dead_and_is_cleared(live: Live, where: Path) -> None:
    mount(where)
    made = live.the_mount(where)
    holder = os.open(where / "setup.exe", os.O_PATH)
    try:
        live.kill_daemons()
        # The lock goes with the last of its threads.
        wait_for(lambda: live.the_mount(where)["status"] == "dead", "its death")
        dead = live.the_mount(where)
        assert not dead["alive"]
        assert dead["wim_path"] == str(SAMPLE)
        assert not queue_exists(made["mount_id"])
        assert "dead" in wimtui("mounts").stdout
        wimtui("mount", SAMPLE, "1", where, code=107)
        wimtui("unmount", where)
    finally:
        os.close(holder)
    live.nothing_left(where, [made["mount_id"]])
    mount(where)
    wimtui("unmount", where)


def test_what_is_left_of_a_daemon_killed_after_its_mount_went(live: Live, where: Path) -> None:
    mount(where)
    made = live.the_mount(where)
    os.kill(made["pid"], signal.SIGSTOP)
    subprocess.run(["fusermount3", "-uz", where], check=True)
    live.kill_daemons()
    # The lock goes with the last of its threads.
    wait_for(lambda: not live.mounts(where) and not live.entries(), "a sweep")
    live.nothing_left(where, [made["mount_id"]])


def test_a_moved_folder(live: Live, where: Path) -> None:
    inner = where / "above" / "mnt"
    inner.mkdir(parents=True)
    mount(inner)
    moved = where / "moved" / "mnt"
    (where / "above").rename(where / "moved")
    made = live.the_mount(inner)
    assert (made["status"], made["detail"]) == ("invalid", f"moved to {moved}")
    wimtui("unmount", moved)
    live.nothing_left(moved, [made["mount_id"]])
    wimtui("unmount", moved, code=80)


def test_what_is_no_mount(where: Path) -> None:
    for target in (where, where / "missing", "/proc", "/"):
        assert str(target) in wimtui("unmount", target, code=80).stderr


@pytest.mark.slow
@pytest.mark.dice
def test_the_shell_is_killed_while_it_mounts(live: Live, where: Path) -> None:
    rng = random.Random(thrown_seed())
    for _ in range(KILLS):
        shell = subprocess.Popen([*WIMTUI, "mount", SAMPLE, "1", where], stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.5))
        shell.kill()
        shell.wait()
        if rng.random() < 0.5:
            live.kill_daemons()
        wait_for(lambda: _is_settled(live, where), "an end of the start")
        for mount in live.mounts(where):
            assert mount["status"] in ("ok", "dead")
            unmount_at(str(where))
        live.nothing_left(where, [])


def _is_settled(live: Live, where: Path) -> bool:
    statuses = {mount["status"] for mount in live.mounts(where)}
    if live.processes():
        return bool(statuses) and statuses <= {"ok", "dead"}
    # The lock of what was killed goes with the last of its threads; until then it looks alive.
    return statuses <= {"dead"}


@pytest.mark.slow
def test_a_start_that_is_interrupted(live: Live, where: Path) -> None:
    rng = random.Random(5)
    for _ in range(20):
        shell = subprocess.Popen(
            [*WIMTUI, "mount", SAMPLE, "1", where], stderr=subprocess.PIPE, text=True
        )
        time.sleep(rng.uniform(0.05, 0.4))
        shell.send_signal(signal.SIGINT)
        _, said = shell.communicate(timeout=60)
        if shell.returncode == 0:
            wimtui("unmount", where)
        live.mounts(where)
        assert str(where) not in mount_points(), said
        live.nothing_left(where, [])


@pytest.mark.slow
def test_ten_mounts_at_once(live: Live) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        folders = [stack.enter_context(mount_point()) for _ in range(10)]
        for folder in folders:
            stack.callback(clear, folder)
        list(pool.map(mount, folders, ["1", "2"] * 5))
        found = [live.the_mount(folder) for folder in folders]
        assert {one["status"] for one in found} == {"ok"}
        assert sorted(live.daemons()) == sorted(one["pid"] for one in found)
        for folder in folders:
            assert (folder / "setup.exe").stat().st_size > 0
        list(pool.map(lambda folder: wimtui("unmount", folder), folders))
        for folder in folders:
            live.nothing_left(folder, [one["mount_id"] for one in found])


def test_two_at_the_same_place(live: Live, where: Path) -> None:
    shells = [
        subprocess.Popen([*WIMTUI, "mount", SAMPLE, "1", where], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    codes = sorted(shell.wait(60) for shell in shells)
    for shell in shells:
        assert shell.stderr is not None
        shell.stderr.close()
    wimtui("unmount", where)
    assert codes == [0, 107]
    live.nothing_left(where, [])


def test_a_daemon_that_dies_while_it_starts(live: Live, where: Path) -> None:
    shell = subprocess.Popen(
        [*WIMTUI, "mount", SAMPLE, "1", where], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: bool(live.daemons()), "a daemon")
    live.kill_daemons()
    _, said = shell.communicate(timeout=60)
    if shell.returncode:
        assert shell.returncode == 103
        assert "killed by signal 9" in said
        assert len(said.splitlines()) == 1
    for _mount in live.mounts(where):
        wimtui("unmount", where)
    live.nothing_left(where, [])
