"""What an optimisation gives back, and what goes with an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live import live as live
from tests.mounting import mounted
from tests.readwrite.mounts import copied_sample, mounted_rw
from wimtui.engine.commit.trim import trim
from wimtui.engine.errors import LockedError, ReadOnlyWimError, UsageError
from wimtui.service import archives
from wimtui.service.editing import (
    ImageProperties,
    WriteSettings,
    delete_image,
    optimize_wim,
    set_image,
)
from wimtui.service.space import loss_of, space_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def wim(tmp_path: Path) -> Path:
    """The sample, to be written to."""
    return copied_sample(tmp_path)


def blobs_of(wim: Path) -> set[str]:
    """The files' data in a WIM."""
    with archives.open_archive(str(wim)) as archive:
        found = archives.blob_facts(archive)
        return {blob.sha1 for blob in found if "METADATA" not in blob.flags}


def test_reclaimable_is_what_optimize_gives_back(wim: Path) -> None:
    assert space_of(str(wim)).reclaimable == 0
    delete_image(str(wim), "1", WriteSettings(), soft=True)
    before = space_of(str(wim))
    assert before.reclaimable > 200_000
    assert (before.left_behind, before.is_interrupted) == (0, False)
    written = optimize_wim(str(wim), WriteSettings())
    assert written.old_size - written.new_size == before.reclaimable
    assert space_of(str(wim)).reclaimable == 0


@pytest.mark.parametrize("index", [1, 2])
def test_the_loss_is_what_a_deletion_drops(wim: Path, index: int) -> None:
    before = blobs_of(wim)
    loss = loss_of(str(wim), index)
    info = archives.inspect_archive(str(wim)).images[index - 1]
    assert (loss.name, loss.file_count) == (info.name, info.file_count)
    assert loss.is_boot is (index == 1)
    delete_image(str(wim), str(index), WriteSettings())
    assert loss.blob_count == len(before - blobs_of(wim))


@pytest.mark.fuse
@pytest.mark.mqueue
def test_a_mounted_image_is_not_deleted(wim: Path) -> None:
    whole = wim.read_bytes()
    with (
        mounted(wim, image="2") as point,
        pytest.raises(UsageError, match=f"image 2 is mounted at {point}"),
    ):
        delete_image(str(wim), "2", WriteSettings())
    assert wim.read_bytes() == whole


@pytest.mark.fuse
@pytest.mark.mqueue
def test_a_locked_wim_names_the_mount(wim: Path) -> None:
    with mounted_rw(wim) as mount:
        where = f"mounted read-write at {mount.path}"
        with pytest.raises(LockedError, match=where):
            set_image(str(wim), "2", ImageProperties("x"), WriteSettings())
        with pytest.raises(LockedError, match=where):
            delete_image(str(wim), "2", WriteSettings())
        with pytest.raises(LockedError, match=where):
            optimize_wim(str(wim), WriteSettings())
        with pytest.raises(LockedError):
            trim(str(wim))


def test_nothing_is_cut_from_a_wim_flagged_readonly(wim: Path) -> None:
    data = bytearray(wim.read_bytes())
    data[16] |= 0x4
    wim.write_bytes(bytes(data) + b"left behind")
    with pytest.raises(ReadOnlyWimError):
        trim(str(wim))
    assert wim.read_bytes() == bytes(data) + b"left behind"
