"""Commits of living mounts: who may stop them, who may listen, what holds them up, what is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import Live, mount_points, wait_for
from tests.mounting import TIMEOUT_S, WIMTUI, wimtui, wimtui_json
from tests.mounting import mounted as mounted_ro
from tests.readwrite.mounts import Mounted, copied_sample, mounted_rw
from wimtui.engine.commit.lock import WimLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]

HOLDER = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(fd, b"one")
print("ready", flush=True)
sys.stdin.readline()
for name, call in (("write", lambda: os.write(fd, b"two")), ("read", lambda: os.pread(fd, 1, 0))):
    try:
        call()
        print(name, "worked", flush=True)
    except OSError as error:
        print(name, "failed", flush=True)
"""

WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
count = 0
while True:
    try:
        os.pwrite(fd, b"%09d" % (count + 1), 0)
    except OSError:
        break
    count += 1
    if count == 1:
        print("ready", flush=True)
print(count, flush=True)
"""


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        yield mounted


def script(text: str, *arguments: Path) -> subprocess.Popen[str]:
    """Start a program that says when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_what_is_left_when_the_command_returns(live: Live, mounted: Mounted) -> None:
    (mounted.path / "new").write_bytes(random.Random(1).randbytes(3_000_000))
    made = live.the_mount(mounted.path)
    (staging,) = mounted.stagings()
    said = wimtui("unmount", mounted.path, "--commit").stdout
    WimLock.take(str(mounted.wim)).close()
    assert not staging.exists()
    assert str(mounted.path) not in mount_points()
    assert list(mounted.path.iterdir()) == []
    live.nothing_left(mounted.path, [made["mount_id"]])
    assert "1 new blob," in said
    assert wimtui_json("verify", mounted.wim)["damaged"] == []


def test_open_files_refuse_it_unless_forced(live: Live, mounted: Mounted) -> None:
    holder = script(HOLDER, mounted.path / "held")
    try:
        said = wimtui("unmount", mounted.path, "--commit", code=79).stderr
        assert f"(process {holder.pid}" in said
        assert "--force" in said
        assert [one["path"] for one in mounted.status()["changes"]] == ["/held"]
        made = live.the_mount(mounted.path)
        done = wimtui("unmount", mounted.path, "--commit", "--force")
        live.nothing_left(mounted.path, [made["mount_id"]])
        assert mounted.stagings() == []
        answers, _ = holder.communicate("go\n", timeout=TIMEOUT_S)
    finally:
        holder.kill()
        holder.wait()
    assert answers == "write failed\nread failed\n"
    assert "1 new blob," in done.stdout
    with mounted_ro(mounted.wim) as path:
        assert (path / "held").read_bytes() == b"one"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_every_answered_write_is_saved_by_force(mounted: Mounted, *, elsewhere: bool) -> None:
    other = mounted.wim.with_name("other.wim")
    writer = script(WRITER, mounted.path / "counted")
    try:
        options = [f"--save-as={other}"] if elsewhere else []
        wimtui("unmount", mounted.path, "--commit", "--force", *options)
        answers, _ = writer.communicate(timeout=TIMEOUT_S)
    finally:
        writer.kill()
        writer.wait()
    assert mounted.stagings() == []
    assert sorted(path.name for path in mounted.wim.parent.glob("*.wim*")) == (
        ["other.wim", "sample.wim"] if elsewhere else ["sample.wim"]
    )
    with mounted_ro(other if elsewhere else mounted.wim) as path:
        # The write that was under way when the mount ended may be in it unanswered.
        assert int((path / "counted").read_bytes()) - int(answers) in (0, 1)


@pytest.mark.parametrize("how", ["commit", "unmount", "detached"])
def test_ctrl_c_stops_a_commit(mounted: Mounted, how: str) -> None:
    data = random.Random(2).randbytes(8 << 20) * 8
    (mounted.path / "big").write_bytes(data)
    before = mounted.wim.read_bytes()
    if how == "detached":
        wimtui("unmount", mounted.path, "--keep")
    command = ["unmount", "--commit"] if how == "unmount" else ["commit"]
    words = [*WIMTUI, *command, str(mounted.path), "--compress=LZX:100"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)

    def is_writing() -> bool:
        assert process.poll() is None, "it was over before it could be stopped"
        return mounted.wim.stat().st_size > len(before)

    wait_for(is_writing, "the first bytes behind the archive's end")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 76, said
    assert "phase: compress and write stopped after" in said
    assert mounted.wim.read_bytes() == before
    assert mounted.summary()["status"] == ("detached" if how == "detached" else "ok")
    assert [one["path"] for one in mounted.status()["changes"]] == ["/big"]
    assert how == "detached" or (mounted.path / "big").read_bytes() == data
    wimtui("commit", mounted.path, "--compress=LZX:10")
    assert wimtui_json("verify", mounted.wim)["damaged"] == []


def test_a_file_opened_meanwhile_keeps_a_mount_whose_changes_are_saved(mounted: Mounted) -> None:
    (mounted.path / "big").write_bytes(random.Random(3).randbytes(8 << 20) * 8)
    (mounted.path / "held").write_bytes(b"one")
    size = mounted.wim.stat().st_size
    words = [*WIMTUI, "unmount", str(mounted.path), "--commit", "--compress=LZX:100"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)

    def is_writing() -> bool:
        assert process.poll() is None, "it was over before a file could be opened"
        return mounted.wim.stat().st_size > size

    wait_for(is_writing, "the first bytes behind the archive's end")
    with (mounted.path / "held").open("r+b", buffering=0) as held:
        _, said = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 79, said
        assert "what was staged has been saved" in said
        assert held.read() == b"one"
        with mounted_ro(mounted.wim) as path:
            assert (path / "held").read_bytes() == b"one"
        held.write(b" two")
    assert mounted.summary()["status"] == "ok"
    assert [one["path"] for one in mounted.status()["changes"]] == ["/held"]
    mounted.kill()
    mounted.remount()
    assert (mounted.path / "held").read_bytes() == b"one two"
    wimtui("unmount", mounted.path, "--commit")
    assert mounted.stagings() == []
    with mounted_ro(mounted.wim) as path:
        assert (path / "held").read_bytes() == b"one two"
        assert (path / "big").stat().st_size == 64 << 20


class Watch:
    """A ``wimtui watch --json`` under way, its lines in a file."""

    def __init__(self, mounted: Mounted, file: Path) -> None:
        self.file = file
        with file.open("wb") as output:
            words = [*WIMTUI, "watch", str(mounted.path), "--json"]
            self.process = subprocess.Popen(words, stdout=output)

    def events(self) -> list[dict[str, Any]]:
        lines = self.file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def ends(self) -> list[str]:
        return [e["operation"] for e in self.events() if e["type"] == "event.ended"]

    def phases(self, new_size: int) -> set[str] | None:
        """Return the phases of the commit that made a WIM of that size; None before its end."""
        phases: set[str] = set()
        for event in self.events():
            if event["type"] == "event.progress":
                phases.add(event["phase"])
            elif event["type"] == "event.ended":
                if event["data"].get("new_size") == new_size:
                    return phases
                phases = set()
        return None

    def has_heard(self, new_size: int) -> bool:
        return self.phases(new_size) is not None


def test_several_listen_and_one_of_them_sleeps(mounted: Mounted, tmp_path: Path) -> None:
    watches = [Watch(mounted, tmp_path / f"watch{number}") for number in range(3)]
    asleep = watches[2].process
    try:
        small = mounted.path / "small"

        def all_listen() -> bool:
            small.write_bytes(os.urandom(10))
            wimtui("commit", mounted.path)
            return all(watch.ends() for watch in watches)

        wait_for(all_listen, "three listeners")
        asleep.send_signal(signal.SIGSTOP)
        (mounted.path / "big").write_bytes(random.Random(3).randbytes(6_000_000))
        size = wimtui_json("commit", mounted.path, "--check")["new_size"]
        phases = {"scan", "hash", "metadata", "write", "integrity", "sync", "verify"}
        for watch in watches[:2]:
            wait_for(partial(watch.has_heard, size), "the end of the commit")
            assert watch.phases(size) == phases
        assert not watches[2].has_heard(size)
        asleep.send_signal(signal.SIGCONT)
        wait_for(partial(watches[2].has_heard, size), "the end, told late")
        wimtui("unmount", mounted.path)
        assert [watch.process.wait(TIMEOUT_S) for watch in watches] == [0, 0, 0]
        assert all(watch.ends()[-1] == "unmount" for watch in watches)
    finally:
        for watch in watches:
            watch.process.kill()
            watch.process.wait()


def test_a_dead_mount_is_committed_and_cleared(live: Live, mounted: Mounted) -> None:
    (mounted.path / "new").write_text("new")
    mount_id = mounted.summary()["mount_id"]
    mounted.kill()
    wimtui("unmount", mounted.path, "--commit")
    live.nothing_left(mounted.path, [mount_id])
    assert mounted.stagings() == []
    with mounted_ro(mounted.wim) as path:
        assert (path / "new").read_text() == "new"


def test_what_is_only_staged_is_no_mount(mounted: Mounted) -> None:
    (mounted.path / "new").write_text("new")
    wimtui("unmount", mounted.path, "--keep")
    said = wimtui("unmount", mounted.path, "--commit", code=80).stderr
    assert "wimtui commit" in said
    assert wimtui_json("commit", mounted.path)["is_written"]
