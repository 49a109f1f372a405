"""An append: what it touches, what it keeps, and what it refuses."""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.commit.invariants import check_wim
from tests.commit.trees import TICKS, TestTree, all_contents
from tests.commit.ways import changed_tree, commit, first_tree, make_wim, options, words
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit import edit
from wimtui.engine.commit.append import old_end
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.errors import ArchiveChangedError
from wimtui.engine.commit.lock import WimLock
from wimtui.engine.commit.options import Compression
from wimtui.engine.container.flags import HeaderFlag
from wimtui.engine.errors import (
    BlobHashError,
    ImageNameTakenError,
    LockedError,
    NoSuchImageError,
    ReadOnlyWimError,
    UsageError,
)
from wimtui.engine.progress import Phase, Progress

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=list(CodecId), ids=lambda codec: codec.name)
def wim(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_wim(tmp_path / "a.wim", request.param)


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_nothing_below_the_old_end_is_touched(wim: Path) -> None:
    before = wim.read_bytes()
    with Archive.open(wim) as archive:
        assert old_end(archive.wim) == len(before)
        result = commit(archive, options())
    after = wim.read_bytes()
    assert after[208 : len(before)] == before[208:]
    assert len(after) == result.new_size
    assert result.old_size == len(before)
    assert result.blobs_written == 4
    assert result.blobs_reused == 1
    assert result.blobs_dropped == 0
    check_wim(wim)
    with Archive.open(wim, ArchiveOptions(check_integrity=True)) as archive:
        image = archive.wim.xml.images[0]
        assert image.get_time("LASTMODIFICATIONTIME") == TICKS
        assert archive.wim.header.boot_index == 2


def test_what_no_image_uses_any_more_leaves_the_table(wim: Path) -> None:
    with Archive.open(wim) as archive:
        edit.delete_image(archive, 2, options(), soft=True)
    with Archive.open(wim) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.remove("/System/b.bin")
        result = edit.commit_image(archive, 1, tree, options())
        assert result.blobs_dropped == 1
        assert archive.wim.header.boot_index == 0
    check_wim(wim)
    with Archive.open(wim) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.add("/again", words(1, 90_000))
        result = edit.commit_image(archive, 1, tree, options())
        assert (result.blobs_written, result.blobs_reused) == (0, 1)
    check_wim(wim)
    with Archive.open(wim) as archive:
        result = edit.optimize(archive, options())
        assert result.new_size < result.old_size
    check_wim(wim, fresh=True)


def test_garbage_behind_the_end_is_cut(wim: Path) -> None:
    before = all_contents(wim)
    size = wim.stat().st_size
    with wim.open("ab") as file:
        file.write(b"left by a write that was killed" * 10_000)
    patch(wim, 16, struct.pack("<I", _flags(wim) | HeaderFlag.WRITE_IN_PROGRESS))
    with Archive.open(wim) as archive:
        assert any("crashed" in warning for warning in archive.wim.warnings)
        assert old_end(archive.wim) == size
        edit.set_properties(archive, 1, ImageProperties("named"), options())
    check_wim(wim)
    assert all_contents(wim) == before
    assert wim.stat().st_size < size + 20_000
    assert not _flags(wim) & HeaderFlag.WRITE_IN_PROGRESS


def _flags(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[16:20], "little")


def test_unknown_header_fields_stay(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    extra = 0x00800001
    patch(path, 16, struct.pack("<I", _flags(path) | extra | HeaderFlag.RP_FIX))
    patch(path, 148, b"unused bytes")
    with Archive.open(path) as archive:
        commit(archive, options())
    data = path.read_bytes()
    assert _flags(path) & (extra | HeaderFlag.RP_FIX) == extra | HeaderFlag.RP_FIX
    assert data[148:160] == b"unused bytes"
    assert len(data[24:40]) == 16
    with Archive.open(path) as archive:
        guid = archive.wim.header.guid
        edit.optimize(archive, options())
    with Archive.open(path) as archive:
        assert archive.wim.header.guid == guid
        assert archive.wim.header.flags & HeaderFlag.RP_FIX


@pytest.mark.parametrize("present", [False, True])
@pytest.mark.parametrize("wanted", [None, False, True])
@pytest.mark.parametrize("rebuild", [False, True])
def test_integrity_table(tmp_path: Path, present: bool, wanted: bool | None, rebuild: bool) -> None:
    path = make_wim(tmp_path / "a.wim", integrity=present)
    with Archive.open(path) as archive:
        commit(archive, options(integrity=wanted, rebuild=rebuild))
    check_wim(path)
    with Archive.open(path, ArchiveOptions(check_integrity=True)) as archive:
        there = archive.wim.integrity_table() is not None
    assert there == (present if wanted is None else wanted)


def test_integrity_digests_are_used_again(tmp_path: Path) -> None:
    """Only pieces that are new are read."""
    path = tmp_path / "a.wim"
    tree = TestTree()
    tree.add("/big", os.urandom(25 << 20))
    given = replace(options(), compression=Compression(CodecId.NONE), integrity=True)
    edit.create(str(path), tree, ImageProperties("a"), given)
    seen: list[Progress] = []
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.add("/x", b"x")
        edit.commit_image(archive, 1, tree, options(progress=seen.append))
    pieces = [each.items_done for each in seen if each.phase is Phase.INTEGRITY]
    assert pieces == [3]
    check_wim(path)


def test_progress_goes_through_the_phases(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    seen: list[Progress] = []
    with Archive.open(path) as archive:
        commit(archive, options(progress=seen.append))
    phases = list(dict.fromkeys(each.phase for each in seen))
    assert phases == [
        Phase.HASH, Phase.METADATA, Phase.WRITE, Phase.INTEGRITY, Phase.SYNC, Phase.VERIFY,
    ]  # fmt: skip
    last = {each.phase: each for each in seen}
    for phase in (Phase.HASH, Phase.WRITE, Phase.VERIFY):
        assert last[phase].bytes_done == last[phase].bytes_total > 0
        assert last[phase].items_done == last[phase].items_total > 0


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_file_that_was_replaced_or_changed_is_refused(tmp_path: Path, rebuild: bool) -> None:
    path = make_wim(tmp_path / "a.wim")
    other = make_wim(tmp_path / "b.wim")
    given = options(rebuild=rebuild)
    with Archive.open(path) as archive:
        patch(path, 24, b"another GUID")
        with pytest.raises(
            ArchiveChangedError, match=r"overwritten in place.*cp, not mv.*wimtui export"
        ):
            commit(archive, given)
    with Archive.open(path) as archive:
        with Archive.open(path) as second:
            edit.set_properties(second, 1, ImageProperties("by another"), options())
        changed = path.read_bytes()
        with pytest.raises(ArchiveChangedError, match="somebody else wrote to it"):
            commit(archive, given)
        assert path.read_bytes() == changed
        # The way out.
        saved = tmp_path / "saved.wim"
        commit(archive, replace(given, save_as=str(saved)))
        check_wim(saved, fresh=True)
        assert path.read_bytes() == changed
    with Archive.open(path) as archive:
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(ArchiveChangedError, match="cut to"):
            commit(archive, given)
    with Archive.open(other) as archive:
        path.replace(other)
        with pytest.raises(ArchiveChangedError, match="another file has taken its place"):
            commit(archive, given)
        other.unlink()
        with pytest.raises((ArchiveChangedError, ReadOnlyWimError)):
            commit(archive, given)


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_locked_file_is_refused(tmp_path: Path, rebuild: bool) -> None:
    path = make_wim(tmp_path / "a.wim")
    before = path.read_bytes()
    with Archive.open(path) as archive:
        with WimLock.take(str(path)) as lock:
            assert lock.is_held
            with pytest.raises(LockedError, match=f"process {os.getpid()} "):
                commit(archive, options(rebuild=rebuild))
            assert path.read_bytes() == before
        commit(archive, options(rebuild=rebuild))
    check_wim(path)


def test_who_holds_the_lock_writes_with_it(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    with WimLock.take(str(path)):
        with Archive.open(path) as archive:
            assert commit(archive, options(lock_held=True)).lock is None
        with Archive.open(path) as archive:
            result = edit.optimize(archive, options(lock_held=True))
            assert result.lock is not None
        # The rebuilt file is locked from its first moment.
        with path.open("rb") as file, pytest.raises(OSError, match="unavailable"):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        result.lock.close()
    WimLock.take(str(path)).close()


def test_read_only_files_are_refused(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    patch(path, 16, struct.pack("<I", _flags(path) | HeaderFlag.READONLY))
    with Archive.open(path) as archive:
        with pytest.raises(ReadOnlyWimError, match="READONLY"):
            commit(archive, options())
        commit(archive, options(ignore_readonly=True))
    assert _flags(path) & HeaderFlag.READONLY
    check_wim(path)


def test_data_of_another_size_with_the_hash_of_a_blob(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    before = path.read_bytes()

    class Collision:
        """Reads as the data of a blob and claims to be longer."""

        size = 6

        def shown_path(self) -> str:
            return ""

        def open(self) -> Collision:
            return self

        def read(self, offset: int, size: int) -> bytes:
            return b"hello!"[offset : offset + size]

        read_nowait = read

        def close(self) -> None:
            pass

    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.add("/x", Collision())
        row = archive.wim.blob_table.find(bytes.fromhex("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"))
        assert row >= 0
        monkey = pytest.MonkeyPatch()
        monkey.setattr(
            "wimtui.engine.commit.plan.sha1_of",
            lambda source, cancel: bytes.fromhex("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
        )
        with monkey.context(), pytest.raises(BlobHashError, match="two different streams"):
            edit.commit_image(archive, 1, tree, options())
        monkey.undo()
    assert path.read_bytes() == before


def test_properties(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    before = all_contents(path)
    with Archive.open(path) as archive:
        table = archive.wim.header.blob_table
        properties = ImageProperties(
            "Näme & <more>", "", True, {"WINDOWS/EDITIONID": "Pro", "FLAGS": "9"}
        )
        result = edit.set_properties(archive, 1, properties, options())
        assert result.is_written
    check_wim(path)
    with Archive.open(path, ArchiveOptions(check_integrity=True)) as archive:
        assert archive.wim.header.blob_table == table, "the table stays where it is"
        assert archive.wim.header.boot_index == 1
        image = archive.wim.xml.images[0]
        assert image.name == "Näme & <more>"
        assert image.get("DESCRIPTION") is None
        assert image.get("WINDOWS/EDITIONID") == "Pro"
        assert not edit.set_properties(archive, 1, properties, options()).is_written
        with pytest.raises(ImageNameTakenError, match="image 1 is named"):
            edit.set_properties(archive, 2, ImageProperties("Näme & <more>"), options())
        with pytest.raises(UsageError, match="XML cannot hold"):
            edit.set_properties(archive, 2, ImageProperties("\x01"), options())
    with Archive.open(path) as archive:
        edit.set_properties(archive, 1, ImageProperties(boot=False), options())
    check_wim(path)
    with Archive.open(path) as archive:
        assert archive.wim.header.boot_index == 0
    assert all_contents(path) == before


def test_deleting_images_renumbers_the_rest(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim", images=3)
    before = all_contents(path)
    with Archive.open(path) as archive:
        assert archive.wim.header.boot_index == 3
        edit.delete_image(archive, 2, options())
    check_wim(path, fresh=True)
    assert all_contents(path) == [before[0], before[2]]
    with Archive.open(path) as archive:
        assert archive.wim.header.boot_index == 2
        assert [image.name for image in archive.wim.xml.images] == ["first", "image 3"]
        edit.delete_image(archive, 2, options())
    with Archive.open(path) as archive:
        assert archive.wim.header.boot_index == 0
        with pytest.raises(NoSuchImageError, match="only image"):
            edit.delete_image(archive, 1, options())


def test_a_new_image_keeps_what_the_old_one_says(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    with Archive.open(path) as archive:
        properties = ImageProperties(others={"FLAGS": "Professional", "WINDOWS/ARCH": "9"})
        edit.set_properties(archive, 1, properties, options())
    with Archive.open(path) as archive:
        created = archive.wim.xml.images[0].get_time("CREATIONTIME")
        later = replace(options(), clock=lambda: TICKS + 5)
        edit.commit_new_image(archive, 1, changed_tree(archive), ImageProperties(), later)
    with Archive.open(path) as archive:
        image = archive.wim.xml.images[2]
        assert image.name == ""
        assert image.get("DESCRIPTION") is None
        assert image.get("FLAGS") == "Professional"
        assert image.get_number("WINDOWS/ARCH") == 9
        assert image.get_time("CREATIONTIME") == created
        assert image.get_time("LASTMODIFICATIONTIME") == TICKS + 5
        assert archive.wim.xml.images[0].get_time("LASTMODIFICATIONTIME") == TICKS
    check_wim(path)


def test_an_image_that_cannot_be_read_keeps_its_blobs(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim", CodecId.NONE, integrity=False)
    with Archive.open(path) as archive:
        table = archive.wim.blob_table
        place = table.row(table.metadata_rows[1]).resource
        blobs = table.blob_count
    patch(path, place.offset_in_wim + 8, b"\xff" * 8)
    with Archive.open(path) as archive:
        result = commit(archive, options())
        assert any("image 2 cannot be read" in warning for warning in result.warnings)
        assert result.blobs_dropped == 0
    with Archive.open(path) as archive:
        assert archive.wim.blob_table.blob_count == blobs + result.blobs_written


def test_an_empty_tree_and_one_of_empty_files(tmp_path: Path) -> None:
    path = tmp_path / "a.wim"
    edit.create(str(path), TestTree(), ImageProperties("empty"), options(integrity=True))
    check_wim(path, fresh=True)
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.add("/nothing")
        edit.commit_image(archive, 1, tree, options())
    check_wim(path)
    with Archive.open(path) as archive:
        assert archive.wim.blob_table.blob_count == 0
        edit.append_image(archive, first_tree(), ImageProperties("more"), options())
    check_wim(path)
