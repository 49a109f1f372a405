"""What needs a decision is found, said what it holds, and what can be done about it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.cleaning import clean_up
from tests.live import live as live
from tests.mounting import mount_point, mounted, wimtui
from tests.readwrite.mounts import copied_sample, mounted_rw
from wimtui.control.stagings import remember_staging
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.commit.lock import WimLock
from wimtui.engine.staging.identity import WimIdentity
from wimtui.engine.staging.store import StagingStore
from wimtui.service import mounts
from wimtui.service.recents import remember_wim
from wimtui.service.recovery import Fit, Recoverable, Trouble, Way, recoverables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live import Live

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]

_FLAGS = 16
_IN_PROGRESS = 0x40


@pytest.fixture
def wim(tmp_path: Path) -> Path:
    """The sample, to be written to."""
    return copied_sample(tmp_path)


def found_one() -> Recoverable:
    """The one thing there is; other dead mounts of the machine aside."""
    (found,) = [one for one in recoverables() if one.is_own]
    return found


def keep_changes(wim: Path) -> None:
    """Leave one new file staged, unmounted."""
    with mount_point() as point:
        wimtui("mountrw", wim, "1", point)
        (point / "added").write_text("x" * 5000)
        wimtui("unmount", point, "--keep")


def test_nothing_needs_a_decision(wim: Path) -> None:
    with mounted_rw(wim) as mount:
        (mount.path / "added").write_text("x")
        assert [one for one in recoverables() if one.is_own] == []


def test_a_killed_daemon_with_changes(wim: Path) -> None:
    with mounted_rw(wim) as mount:
        (mount.path / "added").write_text("x")
        shutil.rmtree(mount.path / "Windows" / "INF")
        (mount.path / "Windows" / "explorer.exe").write_bytes(b"another")
        mount.kill()
        found = found_one()
        assert (found.trouble, found.fit, found.mode) == (Trouble.DEAD, Fit.SAME, "rw")
        kinds = dict(found.kinds)
        assert kinds["added"] >= 1
        assert kinds["deleted"] >= 1
        assert found.change_count == sum(kinds.values())
        assert found.ways == (Way.REMOUNT, Way.COMMIT, Way.SAVE_AS, Way.DISCARD, Way.CLEAR)
        assert "every change is safe" in found.why
        mounts.remount(found.target)
        assert (mount.path / "added").read_text() == "x"
        assert [one for one in recoverables() if one.is_own] == []


def test_a_killed_daemon_without_changes(wim: Path) -> None:
    with mounted_rw(wim) as mount:
        mount.kill()
        found = found_one()
        assert (found.change_count, found.fit) == (0, Fit.SAME)
        assert found.ways == (Way.REMOUNT, Way.DISCARD, Way.CLEAR)
        assert "nothing had been changed" in found.why


def test_a_killed_read_only_mount(wim: Path, live: Live) -> None:
    with mounted(wim) as point:
        live.kill_daemons()
        found = found_one()
        assert (found.trouble, found.fit, found.ways) == (
            Trouble.DEAD, Fit.NOTHING, (Way.REMOUNT, Way.CLEAR),
        )  # fmt: skip
        mounts.remount(found.target)
        assert (point / "Windows").is_dir()


def test_changes_that_were_kept(wim: Path) -> None:
    keep_changes(wim)
    found = found_one()
    assert (found.trouble, found.fit, dict(found.kinds)) == (
        Trouble.DETACHED, Fit.SAME, {"added": 1},
    )  # fmt: skip
    assert found.ways == (Way.REMOUNT, Way.COMMIT, Way.SAVE_AS, Way.DISCARD)
    assert found.staged_nbytes is not None
    assert found.staged_nbytes >= 5000


def test_a_wim_that_somebody_changed(wim: Path) -> None:
    keep_changes(wim)
    wimtui("set", wim, "2", "--name", "another")
    found = found_one()
    assert found.fit is Fit.CHANGED
    assert found.ways == (Way.SAVE_AS, Way.DISCARD)
    assert dict(found.kinds) == {"added": 1}


def test_a_wim_whose_image_is_gone(wim: Path) -> None:
    keep_changes(wim)
    wimtui("delete", wim, "1")
    found = found_one()
    assert (found.fit, found.ways, found.change_count) == (Fit.CHANGED, (Way.DISCARD,), 1)


def test_a_wim_that_is_not_there(wim: Path) -> None:
    keep_changes(wim)
    wim.rename(wim.with_name("moved.wim"))
    found = found_one()
    assert (found.fit, found.ways) == (Fit.MISSING, (Way.DISCARD,))


def test_a_staging_folder_that_is_damaged(wim: Path) -> None:
    keep_changes(wim)
    (staging,) = wim.parent.glob("*.staging-*")
    (staging / "changes.db").write_bytes(b"no database" * 1000)
    found = found_one()
    assert (found.fit, found.ways) == (Fit.DAMAGED, (Way.DISCARD,))


def test_a_commit_that_was_killed_when_all_was_written(wim: Path) -> None:
    keep_changes(wim)
    (staging,) = wim.parent.glob("*.staging-*")
    saved = wim.parent / "saved"
    shutil.copytree(staging, saved)
    wimtui("commit", staging)
    assert not staging.exists()
    saved.rename(staging)
    remember_staging(str(staging))
    store = StagingStore.open(staging)
    with Archive.open(str(wim), ArchiveOptions()) as archive:
        store.note_commit(WimIdentity.of(archive))
    store.close()
    found = found_one()
    assert (found.fit, found.ways) == (Fit.COMMITTED, (Way.REMOUNT, Way.DISCARD))


def test_a_write_that_was_killed_is_cut_off(wim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = wim.read_bytes()
    remember_wim(str(wim))
    mark_as_written(wim, left=b"half a blob" * 100)
    found = found_one()
    assert (found.trouble, found.ways, found.left_nbytes) == (
        Trouble.HALF_WRITTEN, (Way.TRIM,), 1100,
    )  # fmt: skip
    clean_up(monkeypatch, wim)
    assert wim.read_bytes() == whole
    assert [one for one in recoverables() if one.is_own] == []


def test_a_write_that_goes_on_needs_no_decision(wim: Path) -> None:
    remember_wim(str(wim))
    mark_as_written(wim, left=b"")
    with WimLock.take(str(wim)):
        assert [one for one in recoverables() if one.is_own] == []
    assert found_one().trouble is Trouble.HALF_WRITTEN


def mark_as_written(wim: Path, left: bytes) -> None:
    """Leave a WIM as a writer does that is killed before its header counts."""
    descriptor = os.open(wim, os.O_RDWR)
    try:
        flags = os.pread(descriptor, 1, _FLAGS)[0] | _IN_PROGRESS
        os.pwrite(descriptor, bytes([flags]), _FLAGS)
        os.pwrite(descriptor, left, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
