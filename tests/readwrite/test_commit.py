"""Commits while mounted, at the unmount, and of what was left staged."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.mounting import mounted as mounted_ro
from tests.mounting import wimtui, wimtui_json
from tests.readwrite.control import assert_same, linux_like_tree, shown
from tests.readwrite.mounts import Mounted, copied_sample, mounted_rw, signal_gone

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse


def change(root: Path) -> None:
    """Change some of everything."""
    linux_like_tree(root / "linux", files=60)
    with (root / "license.rtf").open("ab") as file:
        file.write(b"more")
    (root / "setup.exe").rename(root / "linux" / "setup.exe")
    (root / "notepad.lnk").unlink()
    os.setxattr(root / "license.rtf", "user.zone", b"stream")


def assert_image(mounted: Mounted, control: dict[str, tuple[object, ...]], image: str) -> None:
    """Compare an image of the WIM as anybody mounts it with what the mount showed."""
    with mounted_ro(mounted.wim, image=image) as path:
        assert shown(path, times=True) == control
        assert os.getxattr(path / "license.rtf", "user.zone") == b"stream"
    assert wimtui_json("verify", mounted.wim)["damaged"] == []


@pytest.mark.parametrize("options", [[], ["--rebuild"], ["--recompress", "--check"]], ids=str)
def test_a_commit_leaves_the_mount_as_it_is(mounted: Mounted, options: list[str]) -> None:
    change(mounted.path)
    before = shown(mounted.path, times=True)
    inodes = {path: path.lstat().st_ino for path in mounted.path.rglob("*")}
    done = wimtui_json("commit", mounted.path, *options)

    assert (done["is_written"], done["image_index"]) == (True, 1)
    assert done["is_rebuilt"] is bool(options)
    status = mounted.status()
    assert (status["changes"], status["staged_nbytes"]) == ([], 0)
    assert shown(mounted.path, times=True) == before
    assert {path: path.lstat().st_ino for path in mounted.path.rglob("*")} == inodes
    assert_image(mounted, before, "1")
    assert not wimtui_json("commit", mounted.path)["is_written"]
    (mounted.path / "later").write_text("later")
    assert [one["path"] for one in mounted.status()["changes"]] == ["/later"]


def test_unmounting_with_a_commit_leaves_nothing_behind(mounted: Mounted) -> None:
    change(mounted.path)
    before = shown(mounted.path, times=True)
    with (mounted.path / "license.rtf").open("rb"):
        done = wimtui("unmount", mounted.path, "--commit", code=79)
        assert "pytest" in done.stderr or "python" in done.stderr
    assert len(mounted.status()["changes"]) > 3
    wimtui("unmount", mounted.path, "--commit")
    assert mounted.stagings() == []
    assert_image(mounted, before, "1")


def test_a_new_image_gets_the_changes_and_the_old_one_stays(mounted: Mounted) -> None:
    original = shown(mounted.path, times=True)
    change(mounted.path)
    before = shown(mounted.path, times=True)
    images = wimtui_json("info", mounted.wim)["archive"]["images"]
    wimtui("commit", mounted.path, "--new-image", "--name", "Changed", "--boot")
    assert mounted.status()["image_name"] == "Changed"
    assert (mounted.summary()["image_index"], mounted.status()["changes"]) == (len(images) + 1, [])
    with mounted_ro(mounted.wim) as path:
        assert shown(path, times=True) == original
    assert_image(mounted, before, "Changed")
    (mounted.path / "later").write_text("later")
    mounted.kill()
    mounted.remount()
    assert (mounted.path / "later").read_text() == "later"
    assert mounted.status()["image_name"] == "Changed"


def test_a_name_that_is_taken_is_refused_and_all_stays_staged(mounted: Mounted) -> None:
    change(mounted.path)
    name = mounted.status()["image_name"]
    count = len(mounted.status()["changes"])
    wimtui("commit", mounted.path, "--new-image", "--name", name, code=11)
    wimtui("unmount", mounted.path, "--commit", "--new-image", "--name", name, code=11)
    assert len(mounted.status()["changes"]) == count


def test_what_is_left_staged_can_be_committed_without_a_mount(mounted: Mounted) -> None:
    change(mounted.path)
    before = shown(mounted.path, times=True)
    wimtui("unmount", mounted.path, "--keep")
    (staging,) = mounted.stagings()
    assert wimtui_json("commit", staging)["is_written"]
    assert mounted.stagings() == []
    assert_image(mounted, before, "1")


def test_files_open_for_writing_go_on_after_a_commit(mounted: Mounted) -> None:
    path = mounted.path / "log"
    with path.open("w+b", buffering=0) as file:
        file.write(b"one")
        with (mounted.path / "license.rtf").open("rb", buffering=0) as reader:
            wimtui("commit", mounted.path)
            file.write(b"two")
            assert len(reader.read()) == 15385
        file.seek(0)
        assert file.read() == b"onetwo"
    assert path.read_bytes() == b"onetwo"
    wimtui("commit", mounted.path)
    with mounted_ro(mounted.wim) as other:
        assert (other / "log").read_bytes() == b"onetwo"


def test_writing_goes_on_during_a_commit(mounted: Mounted) -> None:
    rng = random.Random(1)
    for number in range(40):
        (mounted.path / f"data{number}").write_bytes(rng.randbytes(300_000))
    stop = threading.Event()
    written = []

    def write() -> None:
        count = 0
        while not stop.is_set():
            (mounted.path / f"data{count % 40}").write_bytes(b"%d" % count)
            (mounted.path / f"new{count % 50}").write_bytes(b"%d" % count)
            written.append(count)
            count += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            wimtui("commit", mounted.path)
    finally:
        stop.set()
        thread.join()
    assert len(written) > 10
    before = shown(mounted.path)
    mounted.kill()
    mounted.remount()
    assert shown(mounted.path) == before
    wimtui("unmount", mounted.path, "--commit")
    with mounted_ro(mounted.wim) as path:
        assert shown(path) == before


@pytest.mark.slow
def test_a_daemon_killed_during_a_commit_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random(7)
    control = tmp_path / "control"
    control.mkdir()
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        place = mounted.path / "place"
        place.mkdir()
        for number in range(int(os.environ.get("WIMTUI_KILLS", "6"))):
            for folder in (place, control):
                data = random.Random(number).randbytes(400_000)
                (folder / f"new{number}").write_bytes(data)
                (folder / f"new{number // 2}").write_bytes(data[:1000])
            pid = mounted.summary()["pid"]
            descriptor = os.pidfd_open(pid)
            command = threading.Thread(target=commit_until_killed, args=(mounted, number))
            command.start()
            time.sleep(0.3 + rng.random() * 0.6)
            os.kill(pid, signal.SIGKILL)
            signal_gone(descriptor)
            os.close(descriptor)
            command.join()
            mounted.remount()
            assert_same(place, control)
        wimtui("unmount", mounted.path, "--commit")
        with mounted_ro(mounted.wim) as path:
            assert_same(path / "place", control)
        assert wimtui_json("verify", mounted.wim)["damaged"] == []


def commit_until_killed(mounted: Mounted, number: int) -> None:
    options = ["--rebuild"] if number % 3 == 2 else []
    # 101 where the daemon was killed first.
    try:
        wimtui("commit", mounted.path, *options)
    except AssertionError as error:
        if "gone" not in str(error):
            raise
