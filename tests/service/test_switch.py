"""A switch keeps the place and the options, and never leaves less mounted than there was."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import live as live
from tests.mounting import mounted, wimtui
from tests.readwrite.mounts import copied_sample, mounted_rw
from wimtui.control import spawn as spawning
from wimtui.control.errors import ControlError, DaemonStartError, RemoteError
from wimtui.engine.errors import NoSuchImageError, ReadOnlyWimError, UsageError
from wimtui.service import mounts, switching
from wimtui.service.switching import switch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]

_FLAGS = 16
_READONLY = 0x4


@pytest.fixture
def wim(tmp_path: Path) -> Path:
    """The sample, to be written to."""
    return copied_sample(tmp_path)


def test_becomes_writable_and_read_only_again(wim: Path) -> None:
    with mounted(wim, "--ignore-case", "--streams-interface=none", image="2") as point:
        made = switch(str(point), read_write=True)
        assert (made.mode, made.image_index, made.mount_point) == ("rw", 2, str(point))
        (point / "added").write_text("x")
        assert (point / "ADDED").read_text() == "x"
        (point / "added").unlink()
        made = switch(str(point), read_write=False)
        assert (made.mode, made.image_index) == ("ro", 2)
        assert (point / "WINDOWS").is_dir()
        assert list(wim.parent.glob("*.staging-*")) == []


def test_another_image(wim: Path) -> None:
    with mounted(wim) as point:
        assert not (point / "Windows" / "INF" / "oem12.inf").exists()
        made = switch(made_id(point), image="2")
        assert (made.mode, made.image_index) == ("ro", 2)
        assert (point / "Windows" / "INF" / "oem12.inf").is_file()


def test_the_command_does_the_same(wim: Path) -> None:
    with mounted(wim) as point:
        wimtui("switch", point, "--rw", "--image", "2")
        found = mounts.find_mount(str(point))
        assert (found.mode, found.image_index) == ("rw", 2)
        wimtui("switch", point, "--ro")
        assert mounts.find_mount(str(point)).mode == "ro"
        wimtui("switch", point, code=UsageError.code)


def test_changes_keep_it_as_it_is(wim: Path) -> None:
    with mounted_rw(wim) as mount:
        (mount.path / "added").write_text("x")
        before = mounts.find_mount(str(mount.path))
        with pytest.raises(UsageError, match="changes are staged"):
            switch(str(mount.path), read_write=False)
        assert mounts.find_mount(str(mount.path)) == before
        assert (mount.path / "added").read_text() == "x"


def test_changes_made_at_the_last_moment_come_back(
    wim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted_rw(wim) as mount:
        monkeypatch.setattr(
            switching, "_refuse_dirty", lambda _: (mount.path / "added").write_text("x")
        )
        with pytest.raises(UsageError, match="changes are staged"):
            switch(str(mount.path), read_write=False)
        assert mounts.find_mount(str(mount.path)).mode == "rw"
        assert (mount.path / "added").read_text() == "x"


def test_a_busy_mount_goes_on(wim: Path) -> None:
    with mounted(wim) as point:
        before = mounts.find_mount(str(point))
        holder = subprocess.Popen(["sleep", "600"], cwd=point)
        try:
            with pytest.raises(ControlError) as caught:
                switch(str(point), read_write=True)
        finally:
            holder.kill()
            holder.wait()
        assert caught.value.code == 79
        assert mounts.find_mount(str(point)) == before


def test_what_cannot_be_is_refused_before_the_unmount(wim: Path) -> None:
    with mounted(wim) as point:
        before = mounts.find_mount(str(point))
        with pytest.raises(NoSuchImageError):
            switch(str(point), image="7")
        with pytest.raises(UsageError, match="already"):
            switch(str(point), read_write=False, image="1")
        header = bytearray(wim.read_bytes())
        header[_FLAGS] |= _READONLY
        wim.write_bytes(header)
        with pytest.raises(ReadOnlyWimError, match="READONLY"):
            switch(str(point), read_write=True)
        assert mounts.find_mount(str(point)) == before


def test_a_mount_that_fails_puts_back_what_was_there(
    wim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn = spawning.spawn_daemon
    asked: list[Mapping[str, Any]] = []

    def fail_once(options: Mapping[str, Any], **more: Any) -> object:
        asked.append(options)
        if len(asked) == 1:
            raise DaemonStartError("no room for another process")
        return spawn(options, **more)

    with mounted(wim, "--ignore-case") as point:
        monkeypatch.setattr(switching, "spawn_daemon", fail_once)
        with pytest.raises(DaemonStartError, match="no room"):
            switch(str(point), image="2")
        found = mounts.find_mount(str(point))
        assert (found.mode, found.image_index) == ("ro", 1)
        assert (point / "WINDOWS").is_dir()


def test_both_causes_are_told_where_nothing_can_be_mounted(
    wim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(options: Mapping[str, Any], **_: Any) -> object:
        raise RemoteError(100, f"refused image {options['image']}")

    with mounted(wim) as point:
        monkeypatch.setattr(switching, "spawn_daemon", fail)
        with pytest.raises(ControlError, match=r"refused image 2.*refused image 1"):
            switch(str(point), image="2")
        monkeypatch.undo()
        # What unmounts at the end needs something to unmount.
        mounts.mount(mounts.new_request(str(wim), str(point), image="1"))


def made_id(point: Path) -> str:
    """The mount's id, which is as good as its place."""
    return mounts.find_mount(str(point)).mount_id
