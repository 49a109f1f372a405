"""A rebuild: what it copies, what it keeps of the file, what it leaves behind."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.commit.invariants import check_wim
from tests.commit.trees import TestTree, all_contents
from tests.commit.ways import FAST, commit, commit_anew, make_wim, options, words
from tests.container.builder import WimBuilder
from tests.oracle.wims import WIMLIB, wimlib
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit import edit, output
from wimtui.engine.commit.disk import Disk
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import Compression
from wimtui.engine.container.flags import WimVersion
from wimtui.engine.errors import ChunkSizeError, OpenFailedError, WriteFailedError
from wimtui.engine.image.metadata_writer import write_metadata
from wimtui.engine.progress import Phase, Progress

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=list(CodecId), ids=lambda codec: codec.name)
def wim(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_wim(tmp_path / "a.wim", request.param)


def stored(path: Path) -> dict[bytes, bytes]:
    """The stored bytes of every resource, by hash."""
    data = path.read_bytes()
    with Archive.open(path) as archive:
        table = archive.wim.blob_table
        rows = [table.row(row) for row in (*table.metadata_rows, *table.blob_rows())]
        return {
            row.sha1: data[row.resource.offset_in_wim : row.resource.end_in_wim] for row in rows
        }


def test_resources_are_copied_as_they_are_stored(wim: Path) -> None:
    before, resources = all_contents(wim), stored(wim)
    with Archive.open(wim) as archive:
        result = edit.optimize(archive, options(worker_count=1))
    assert result.is_rebuilt
    check_wim(wim, fresh=True)
    assert all_contents(wim) == before
    assert stored(wim) == resources
    assert result.blobs_copied == len(resources) - 2


class ShortCopies(Disk):
    """Copies less than it is asked to, or not at all."""

    def __init__(self, error: int = 0) -> None:
        self.error = error
        self.copies = 0

    def copy_range(
        self, source: int, fd: int, offset_in_source: int, offset: int, nbytes: int
    ) -> int:
        self.copies += 1
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return super().copy_range(source, fd, offset_in_source, offset, min(nbytes, 1000))


@pytest.mark.parametrize(
    "disk", [ShortCopies(), ShortCopies(errno.EXDEV), ShortCopies(errno.EINVAL)]
)
def test_long_ranges_are_copied_in_the_kernel_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: ShortCopies
) -> None:
    path = make_wim(tmp_path / "a.wim")
    before, resources = all_contents(path), stored(path)
    monkeypatch.setattr(output, "BUFFER_NBYTES", 10_000)
    seen: list[Progress] = []
    with Archive.open(path) as archive:
        edit.optimize(archive, options(disk, progress=seen.append))
    assert disk.copies
    check_wim(path, fresh=True)
    assert all_contents(path) == before
    assert stored(path) == resources
    last = [each for each in seen if each.phase is Phase.WRITE][-1]
    assert last.bytes_done == last.bytes_total
    assert last.items_done == last.items_total


def test_a_file_that_ends_in_what_does_not_compress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written raw in the end takes less room than what was written of it before."""
    monkeypatch.setattr(output, "BUFFER_NBYTES", 4096)
    path = make_wim(tmp_path / "a.wim", CodecId.XPRESS, images=1)
    big = random.Random(9).randbytes(24 << 20)
    for rebuild in (False, True):
        with Archive.open(path) as archive:
            tree = TestTree.of_image(archive, 1)
            tree.add("/big-" + str(rebuild), big + bytes([rebuild]))
            small = Compression(CodecId.XPRESS, 4096, 20) if rebuild else FAST
            given = options(rebuild=rebuild, compression=small)
            result = edit.commit_image(archive, 1, tree, given)
        assert path.stat().st_size == result.new_size
        check_wim(path, fresh=rebuild)
        with Archive.open(path) as archive:
            header = archive.wim.header
            assert header.integrity.end_in_wim == path.stat().st_size


def test_blobs_without_known_use_keep_their_counts(tmp_path: Path) -> None:
    """An image that is not seen whole may use them."""
    builder = WimBuilder(codec=CodecId.XPRESS)
    tree = TestTree()
    tree.find("/").tagged_items = b""
    tree.add("/seen").content_sha1 = builder.add_blob(words(1, 20_000))
    unseen = builder.add_blob(words(2, 20_000), reference_count=7)
    metadata = bytearray(write_metadata(tree.root(), tree.security_data))
    builder.add_image(bytes(metadata))
    damaged = write_metadata(TestTree().root(), tree.security_data)[:-40]
    builder.add_image(damaged)
    path = tmp_path / "a.wim"
    builder.build().write(path)
    for rebuild in (True, False):
        with Archive.open(path) as archive:
            changed = TestTree.of_image(archive, 1)
            changed.add(f"/new-{rebuild}", words(3 + rebuild, 5_000))
            edit.commit_image(archive, 1, changed, options(rebuild=rebuild))
        with Archive.open(path) as archive:
            table = archive.wim.blob_table
            assert table.row(table.find(unseen)).reference_count == 7


def test_recompressing_compresses_again(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim", CodecId.LZX)
    before, resources = all_contents(path), stored(path)
    best = Compression(level=60)
    with Archive.open(path) as archive:
        result = edit.optimize(archive, options(recompress=True, compression=best))
        assert result.blobs_copied == 0
    check_wim(path, fresh=True)
    assert all_contents(path) == before
    assert stored(path) != resources
    with Archive.open(path) as archive:
        with pytest.raises(ChunkSizeError):
            edit.optimize(archive, options(compression=Compression(CodecId.LZX, 1 << 14)))
        edit.optimize(archive, options(compression=Compression(CodecId.LZX, 1 << 16)))
    check_wim(path, fresh=True)
    with Archive.open(path) as archive:
        assert archive.wim.chunk_size == 1 << 16


def test_owner_mode_and_attributes_of_the_file_stay(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    os.setxattr(path, "user.note", b"kept")
    has_acl = shutil.which("setfacl") is not None
    if has_acl:
        subprocess.run(["setfacl", "-m", "u:4242:rw", path], check=True)
    before = path.stat()
    acl = [name for name in os.listxattr(path) if name.startswith("system.")]
    with Archive.open(path) as archive:
        commit(archive, options(rebuild=True))
    after = path.stat()
    assert before.st_ino != after.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert os.getxattr(path, "user.note") == b"kept"
    assert bool(acl) == has_acl
    assert [name for name in os.listxattr(path) if name.startswith("system.")] == acl
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wim"]


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    path.chmod(0o600)
    modes: list[int] = []

    def look(upcoming: object) -> None:
        modes.extend(stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir())

    with Archive.open(path) as archive:
        commit(archive, options(rebuild=True, on_ready=look))
    assert modes == [0o600, 0o600]


def test_links_to_the_file(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    symlink = tmp_path / "symlink.wim"
    symlink.symlink_to(path)
    (tmp_path / "hard.wim").hardlink_to(path)
    old = path.read_bytes()
    with Archive.open(symlink) as archive:
        commit(archive, options(rebuild=True))
    assert symlink.is_symlink()
    check_wim(path, fresh=True)
    assert (tmp_path / "hard.wim").read_bytes() == old


@pytest.mark.parametrize("rebuild", [True, False], ids=["rebuild", "append"])
def test_what_a_killed_rebuild_left_is_removed(tmp_path: Path, rebuild: bool) -> None:
    path = make_wim(tmp_path / "a.wim")
    (tmp_path / "a.wim.AbCdEfGhI.wimtui-tmp").write_bytes(b"left")
    others = ["a.wim.AbCdEfGhIJ.wimtui-tmp", "b.wim.AbCdEfGhI.wimtui-tmp", "a.wim.tmp"]
    for name in others:
        (tmp_path / name).write_bytes(b"somebody else's")
    with Archive.open(path) as archive:
        commit(archive, options(rebuild=rebuild))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(["a.wim", *others])


def test_other_hard_links_are_told_of(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    told = "other hard links to the WIM still name the old file"
    with Archive.open(path) as archive:
        assert told not in edit.optimize(archive, options()).warnings
    (tmp_path / "link.wim").hardlink_to(path)
    with Archive.open(path) as archive:
        assert told in edit.optimize(archive, options()).warnings


def test_saved_as_another_file(wim: Path, tmp_path: Path) -> None:
    before = wim.read_bytes()
    target = tmp_path / "b.wim"
    with Archive.open(wim) as archive:
        result = commit_anew(archive, options(save_as=str(target)))
        assert result.path == str(target)
        assert wim.read_bytes() == before
        check_wim(target, fresh=True)
        with pytest.raises(WriteFailedError, match="the file exists"):
            commit(archive, options(save_as=str(target)))
        with pytest.raises(OpenFailedError, match="folder does not exist"):
            commit(archive, options(save_as=str(tmp_path / "none" / "b.wim")))
        guid = archive.wim.header.guid
    with Archive.open(target) as archive:
        assert archive.wim.header.guid != guid
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.wim", "b.wim"]


def test_version_and_flags_follow_the_codec(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim", CodecId.LZMS)
    with Archive.open(path) as archive:
        assert archive.wim.header.version is WimVersion.SOLID
        edit.optimize(archive, options(compression=Compression(CodecId.LZX, level=20)))
    with Archive.open(path) as archive:
        assert archive.wim.header.version is WimVersion.DEFAULT
        small = Compression(level=20, solid_chunk_size=1 << 16)
        edit.optimize(archive, options(solid=True, compression=small))
    check_wim(path, fresh=True)
    with Archive.open(path) as archive:
        assert archive.wim.header.version is WimVersion.SOLID
        assert len(archive.wim.blob_table.solids) == 1


def test_several_solid_resources_as_microsoft_writes_them(tmp_path: Path) -> None:
    """One run, resource entries first, blobs unordered; some resources hardly in use."""
    blobs = [[words(10 * n + m, 9_000 + m) for m in range(6)] for n in range(3)]
    tree = TestTree()
    builder = WimBuilder(codec=CodecId.LZMS)
    hashes = builder.add_solid(*blobs, chunk_size=1 << 15, reverse_blobs=True)
    for number, sha1 in enumerate(hashes):
        tree.add(f"/{number}").content_sha1 = sha1
    builder.add_image(write_metadata(tree.root(), tree.security_data), name="one")
    path = builder.build().write(tmp_path / "a.wim")
    before = all_contents(path)
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.add("/new", words(99, 50_000))
        edit.commit_image(archive, 1, tree, options())
    check_wim(path)
    after = all_contents(path)
    assert all(after[0][name] == fields for name, fields in before[0].items())
    small = Compression(level=20, solid_chunk_size=1 << 15)
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        for number in range(1, 6):
            tree.remove(f"/{number}")
        result = edit.commit_image(archive, 1, tree, options(rebuild=True, compression=small))
    assert result.blobs_copied == 13
    check_wim(path, fresh=True)
    kept = all_contents(path)[0]
    assert all(kept[name] == after[0][name] for name in kept if name != "/")
    assert len(kept) == len(after[0]) - 5
    if WIMLIB is not None:
        wimlib("verify", path)


def test_blobs_in_other_files_stay_there(tmp_path: Path) -> None:
    """A delta WIM stays one, and blobs of the files it refers to are not copied in."""
    base = make_wim(tmp_path / "base.wim")
    with Archive.open(base) as archive:
        tree = TestTree.of_image(archive, 1)
    builder = WimBuilder(codec=CodecId.XPRESS)
    tree.add("/own")
    tree.find("/own").content_sha1 = builder.add_blob(words(5, 3_000))
    builder.add_image(write_metadata(tree.root(), tree.security_data), name="delta")
    path = builder.build().write(tmp_path / "delta.wim")
    refs = ArchiveOptions(references=(str(base),))
    for rebuild in (False, True):
        with Archive.open(path, refs) as archive:
            tree = TestTree.of_image(archive, 1)
            tree.add(f"/more {rebuild}", words(6 + rebuild, 3_000))
            tree.add(f"/again {rebuild}", words(1, 90_000))
            result = edit.commit_image(archive, 1, tree, options(rebuild=rebuild))
            assert result.is_written
        check_wim(path, external=True, fresh=rebuild)
    with Archive.open(path) as archive:
        assert archive.wim.blob_table.blob_count == 4
    with Archive.open(path, refs) as archive:
        tree = TestTree.of_image(archive, 1)
        for node in tree.walk():
            assert archive.blobs.size(node.content_sha1) is not None


def test_a_pipable_wim_becomes_an_ordinary_one(tmp_path: Path) -> None:
    tree = TestTree()
    builder = WimBuilder(codec=CodecId.XPRESS, is_pipable=True)
    tree.add("/a").content_sha1 = builder.add_blob(words(1, 100_000))
    builder.add_image(write_metadata(tree.root(), tree.security_data), name="one")
    path = builder.build().write(tmp_path / "a.wim")
    with Archive.open(path) as archive:
        result = edit.set_properties(archive, 1, ImageProperties("two"), options())
        assert result.is_rebuilt
        assert any("pipable" in warning for warning in result.warnings)
    check_wim(path, fresh=True)


def test_solid_data_of_another_codec_becomes_lzms_and_that_is_said(tmp_path: Path) -> None:
    """As with wimlib-imagex optimize, which does not keep the codec of solid data either."""
    path = tmp_path / "a.wim"
    tree = TestTree()
    tree.add("/file", words(1, 50_000))
    lzx = Compression(CodecId.LZMS, level=20, solid_codec=CodecId.LZX, solid_chunk_size=1 << 15)
    given = options(solid=True, compression=lzx)
    edit.create(str(path), tree, ImageProperties("solid"), given)
    lzms = Compression(level=20, solid_chunk_size=1 << 15)
    said = "solid data was LZX, and is LZMS from now on"
    for recompress, codec, warned in (
        (False, CodecId.LZX, False),
        (True, CodecId.LZMS, True),
        (True, CodecId.LZMS, False),
    ):
        with Archive.open(path) as archive:
            result = edit.optimize(archive, options(recompress=recompress, compression=lzms))
        assert (said in result.warnings) is warned
        with Archive.open(path) as archive:
            assert [solid.codec for solid in archive.wim.blob_table.solids] == [codec]
        check_wim(path, fresh=True)


def test_solid_data_in_the_order_of_names(tmp_path: Path) -> None:
    path = tmp_path / "a.wim"
    tree = TestTree()
    for number, name in enumerate(["b.txt", "a.dll", "a.txt", "b.dll", "c.txt"]):
        tree.add(f"/{name}", words(number, 1_000))
    small = Compression(CodecId.LZX, level=20, solid_chunk_size=1 << 15)
    given = replace(options(), solid=True, compression=small)
    edit.create(str(path), tree, ImageProperties("solid"), given)
    check_wim(path, fresh=True)
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        rows = archive.wim.blob_table
        order = sorted(
            (child for child in tree.root().children),
            key=lambda child: rows.row(rows.find(child.content_sha1)).resource.offset_in_wim,
        )
    assert [node.name for node in order] == [b"a.dll", b"b.dll", b"a.txt", b"b.txt", b"c.txt"]
