"""A commit cut between its last write to the WIM and the first to the staging folder.

What was written to the mount while it was saved is no part of what was saved, and must not be lost.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.mounting import mounted as mounted_ro
from tests.mounting import wimtui, wimtui_json
from tests.staging.base_image import Mount
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.lock import WimLock
from wimtui.engine.commit.options import WriteOptions
from wimtui.engine.commit.overlay import CommitPlan, commit_overlay
from wimtui.service.stagings import find_staged, opened

if TYPE_CHECKING:
    from tests.readwrite.mounts import Mounted

pytestmark = [pytest.mark.fuse, pytest.mark.oracle]

PLANS = {
    "append": CommitPlan(WriteOptions()),
    "rebuild": CommitPlan(WriteOptions(rebuild=True)),
    "new image": CommitPlan(WriteOptions(), ImageProperties("another")),
}


def commit_and_be_killed(mounted: Mounted, plan: CommitPlan, *, writes: bool) -> None:
    """Do all that a daemon does up to the moment; nobody tells the staging of the new WIM."""
    mounted.kill()
    wim = str(mounted.wim)
    with WimLock.take(wim) as lock, opened(find_staged(str(mounted.path))) as (archive, overlay):
        snapshot = overlay.freeze()
        if writes:
            mount = Mount(mounted.wim, mounted.wim.parent, overlay.options, archive, overlay)
            mount.create_file(b"/late", b"written meanwhile")
            mount.write(mount.ino(b"/early"), b"EARLY")
        result = commit_overlay(archive, overlay, snapshot, plan)
        assert result.is_written
        if result.lock is not None and result.lock is not lock:
            result.lock.close()


@pytest.mark.parametrize("way", PLANS)
def test_what_was_written_meanwhile_is_there(mounted: Mounted, way: str) -> None:
    (mounted.path / "early").write_text("early")
    (mounted.path / "setup.exe").unlink()
    commit_and_be_killed(mounted, PLANS[way], writes=True)
    assert "meanwhile" in wimtui("commit", mounted.path, code=88).stderr
    mounted.remount()
    assert (mounted.path / "late").read_text() == "written meanwhile"
    assert (mounted.path / "early").read_text() == "EARLY"
    assert not (mounted.path / "setup.exe").exists()
    subprocess.run(["wimlib-imagex", "verify", mounted.wim], check=True, capture_output=True)

    wimtui("commit", mounted.path)
    assert mounted.status()["changes"] == []
    assert not list(mounted.stagings()[0].glob("before*"))
    wimtui("unmount", mounted.path)
    subprocess.run(["wimlib-imagex", "verify", mounted.wim], check=True, capture_output=True)
    with mounted_ro(mounted.wim) as path:
        assert (path / "late").read_text() == "written meanwhile"
        assert (path / "early").read_text() == "EARLY"
    assert mounted.wim.stat().st_nlink == 1


@pytest.mark.parametrize("way", PLANS)
def test_what_is_in_the_wim_is_not_staged_again(mounted: Mounted, way: str) -> None:
    (mounted.path / "early").write_text("early")
    commit_and_be_killed(mounted, PLANS[way], writes=False)
    mounted.remount()
    assert mounted.status()["changes"] == []
    wimtui("unmount", mounted.path)
    image = "3" if way == "new image" else "1"
    assert wimtui("cat", mounted.wim, image, "/early").stdout == "early"
    assert wimtui_json("verify", mounted.wim)["damaged"] == []
    assert mounted.wim.stat().st_nlink == 1
