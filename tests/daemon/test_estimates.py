"""What a commit would write, asked of a living mount and of what one left."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.mounting import mounted as mounted_ro
from tests.mounting import wimtui
from tests.readwrite.mounts import SAMPLE, Mounted, copied_sample, mounted_rw
from wimtui.control.errors import RemoteError
from wimtui.service.commits import (
    CommitEstimate,
    CommitSettings,
    ReadOnlyMountError,
    commit_at,
    commit_estimate,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        yield mounted


def figures(found: CommitEstimate) -> CommitEstimate:
    """Return it without what other programs change."""
    return replace(found, free=0)


def test_counts_and_bytes(mounted: Mounted) -> None:
    nothing = commit_estimate(str(mounted.path), CommitSettings())
    assert (nothing.added, nothing.modified, nothing.deleted, nothing.renamed) == (0, 0, 0, 0)
    (mounted.path / "new").write_bytes(random.Random(1).randbytes(2_000_000))
    with (mounted.path / "license.rtf").open("ab") as file:
        file.write(b"more")
    os.setxattr(mounted.path / "license.rtf", "user.stream", b"x" * 5000)
    (mounted.path / "notepad.lnk").unlink()
    (mounted.path / "setup.exe").rename(mounted.path / "other.exe")
    found = commit_estimate(str(mounted.path), CommitSettings())
    assert (found.added, found.modified, found.deleted, found.renamed) == (1, 1, 1, 1)
    assert 2_000_000 < found.new - nothing.new < 2_100_000
    assert 2_000_000 < found.needed <= found.new
    assert found.free > 0
    assert not found.is_rebuilt

    wimtui("unmount", mounted.path, "--keep")
    (staging,) = mounted.stagings()
    assert figures(commit_estimate(str(staging), CommitSettings())) == figures(found)


@pytest.mark.parametrize(
    "settings",
    [
        CommitSettings(),
        CommitSettings(check=True),
        CommitSettings(new_image=True),
        CommitSettings(rebuild=True),
        CommitSettings(compress="none"),
        CommitSettings(solid=True, recompress=True),
    ],
    ids=["append", "check", "new-image", "rebuild", "none", "solid"],
)
def test_no_commit_writes_more(mounted: Mounted, settings: CommitSettings) -> None:
    for number in range(30):
        data = random.Random(number).randbytes(number * 1000)
        (mounted.path / f"a name of some length {number}").write_bytes(data)
    found = commit_estimate(str(mounted.path), settings)
    done = commit_at(str(mounted.path), settings)
    assert found.is_rebuilt is done.is_rebuilt
    written = done.new_size if done.is_rebuilt else done.new_size - done.old_size
    assert 435_000 < written <= found.new
    # Far off it would refuse what has room enough.
    assert found.new < 3 * written


def test_what_compresses_needs_less(mounted: Mounted) -> None:
    (mounted.path / "new").write_bytes(b"the same again and again, " * 200_000)
    found = commit_estimate(str(mounted.path), CommitSettings())
    assert found.new > 5_200_000
    assert found.needed < 1_000_000
    found = commit_estimate(str(mounted.path), CommitSettings(compress="none"))
    assert found.needed > 5_200_000


def test_where_the_file_will_be(mounted: Mounted, tmp_path: Path) -> None:
    elsewhere = CommitSettings(save_as=str(tmp_path / "other.wim"))
    found = commit_estimate(str(mounted.path), elsewhere)
    assert found.is_rebuilt
    assert found.new > mounted.wim.stat().st_size
    nowhere = CommitSettings(save_as=str(tmp_path / "none" / "other.wim"))
    with pytest.raises(RemoteError, match="No such file"):
        commit_estimate(str(mounted.path), nowhere)


def test_a_read_only_mount() -> None:
    with mounted_ro(SAMPLE) as path, pytest.raises(ReadOnlyMountError):
        commit_estimate(str(path), CommitSettings())
