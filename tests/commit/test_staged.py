"""What an overlay holds is what a commit writes."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commit.invariants import check_wim
from tests.commit.trees import TestTree, contents
from tests.commit.ways import first_tree, options, words
from tests.image.raw_metadata import security_data
from tests.oracle.wims import WIMLIB, wimlib
from wimtui.engine.archive import Archive
from wimtui.engine.commit import edit
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import Compression
from wimtui.engine.commit.staged_tree import StagedTree
from wimtui.engine.image.tagged_items import ItemTag, set_item
from wimtui.engine.image.view import ViewOptions
from wimtui.engine.progress import CancelToken, Phase
from wimtui.engine.staging.identity import WimIdentity
from wimtui.engine.staging.options import OverlayOptions
from wimtui.engine.staging.overlay import Overlay
from wimtui.engine.staging.store import StagingStore
from wimtui.engine.tree import ROOT_INO, Creator, Ino, RenameMode, XattrMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.codecs.base import CodecId
    from wimtui.engine.commit.options import UpcomingFile
    from wimtui.engine.progress import Progress

FILE = Creator(0o100644, 0, 0)
FOLDER = Creator(0o040755, 0, 0)
LINK = Creator(0o120777, 0, 0)


def base(path: Path, codec: CodecId | None = None) -> Path:
    """A WIM whose files have everything that must survive."""
    tree = first_tree()
    tree.security_data = security_data(b"descriptor one  ", b"descriptor two  ")
    kept = tree.add("/System/kept", words(20, 5_000))
    kept.security_id = 1
    kept.attributes = 0x27
    kept.short_name = b"KEPT~1"
    kept.creation_time, kept.access_time, kept.write_time = 11, 22, 33
    kept.unknown_0x54 = 0xDEADBEEF
    kept.tagged_items = set_item(b"", ItemTag.OBJECT_ID, bytes(range(64)))
    kept.tagged_items += b"\x78\x56\x34\x12\x05\0\0\0five!\0\0\0"
    tree.link("/System/kept", "/kept link")
    described = tree.make_directory("/System/described")
    described.security_id = 0
    junction = tree.add("/junction")
    junction.attributes, junction.reparse_tag = 0x410, 0xA0000003
    junction.content_sha1 = tree.token(b"\0\0\x08\0\x0a\0\x04\0a\0b\0c\0d\0\0\0a\0b\0\0\0")
    opaque = tree.add("/opaque")
    opaque.attributes, opaque.reparse_tag, opaque.reparse_reserved = 0x420, 0x80000017, 7
    opaque.content_sha1 = tree.token(b"what WOF means")
    opaque.data_sha1 = tree.token(words(21, 9_000))
    encrypted = tree.add("/encrypted")
    encrypted.attributes = 0x4020
    encrypted.content_sha1 = tree.token(b"raw EFS " * 100)
    given = options(compression=Compression(codec, level=20))
    edit.create(str(path), tree, ImageProperties("base", "described", boot=True), given)
    check_wim(path, fresh=True)
    return path


@contextmanager
def overlay_on(archive: Archive, folder: Path, *, unix_data: bool = False) -> Iterator[Overlay]:
    given = OverlayOptions(ViewOptions(unix_data=unix_data))
    store = StagingStore.create(folder, WimIdentity.of(archive), 1, given)
    overlay = Overlay(archive.image(1), archive.blobs, store)
    try:
        yield overlay
    finally:
        overlay.close()


def at(overlay: Overlay, path: str) -> Ino:
    ino = ROOT_INO
    for name in path.encode().strip(b"/").split(b"/"):
        found = overlay.lookup(ino, name)
        assert found is not None
        ino = found
    return ino


def write(overlay: Overlay, ino: Ino, data: bytes, offset: int = 0) -> None:
    overlay.copy_up(ino, None, CancelToken())
    file = overlay.open_for_writing(ino)
    file.write(offset, data)
    file.close()


def change(overlay: Overlay) -> None:
    """One of every operation that leaves something to save."""
    write(overlay, overlay.create_node(ROOT_INO, b"new", FILE), words(30, 80_000))
    overlay.create_node(ROOT_INO, b"new and empty", FILE)
    made = overlay.make_directory(ROOT_INO, b"made", FOLDER)
    overlay.make_symlink(made, b"to directory", b"../System", LINK)
    overlay.make_symlink(made, b"to file", b"../new", LINK)
    overlay.link(at(overlay, "/new"), made, b"new link")
    write(overlay, at(overlay, "/System/b.bin"), b"patched", 1000)
    overlay.rename(at(overlay, "/System"), b"small", made, b"moved", RenameMode.REPLACE)
    overlay.unlink(at(overlay, "/System"), b"same")
    overlay.unlink(ROOT_INO, b"a-link.txt")
    overlay.link(at(overlay, "/System/kept"), made, b"kept, third name")
    overlay.set_xattr(at(overlay, "/new"), b"user.stream", b"in a new stream", XattrMode.ANY)


def hash_of(data: bytes) -> bytes:
    return hashlib.sha1(data).digest()


@pytest.mark.parametrize("way", ["append", "rebuild", "new image"])
def test_changes_are_saved_and_the_rest_is_kept(tmp_path: Path, way: str) -> None:
    path = base(tmp_path / "a.wim")
    before = contents(path, 1)
    with Archive.open(path) as archive, overlay_on(archive, tmp_path) as overlay:
        change(overlay)
        tree = StagedTree(overlay.freeze())
        assert tree.has_changes
        seen: list[UpcomingFile] = []
        given = options(rebuild=way == "rebuild", on_ready=seen.append)
        if way == "new image":
            result = edit.commit_new_image(archive, 1, tree, ImageProperties(), given)
        else:
            result = edit.commit_image(archive, 1, tree, given)
    check_wim(path, fresh=way == "rebuild")
    after = contents(path, result.image_index)
    check_changes(before, after)
    if way == "new image":
        assert contents(path, 1) == before
    with Archive.open(path) as archive:
        data = path.read_bytes()
        assert [each.size for each in seen] == [len(data)]
        assert seen[0].header == data[:208]
        table = archive.wim.header.blob_table
        assert seen[0].blob_table == data[table.offset_in_wim : table.end_in_wim]
        assert archive.wim.header.boot_index == 1
    if WIMLIB is not None:
        wimlib("verify", path)
        wimlib("apply", path, str(result.image_index), tmp_path / "applied")
        assert (tmp_path / "applied" / "made" / "to directory").readlink() == Path("../System")


@pytest.mark.parametrize("way", ["append", "solid"])
def test_progress_names_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("wimtui.engine.commit.reporter._INTERVAL_S", 0.0)
    path = base(tmp_path / "a.wim")
    told: list[Progress] = []
    with Archive.open(path) as archive, overlay_on(archive, tmp_path) as overlay:
        change(overlay)
        overlay.rename(ROOT_INO, b"made", at(overlay, "/System"), b"other", RenameMode.REPLACE)
        overlay.unlink(ROOT_INO, b"new")
        tree = StagedTree(overlay.freeze())
        edit.commit_image(archive, 1, tree, options(progress=told.append, solid=way == "solid"))
    new = {
        "/System/b.bin", "/System/other/new link", "/System/other/new link:stream",
        "/System/other/to directory", "/System/other/to file",
    }  # fmt: skip
    paths = {
        phase: {each.path for each in told if each.phase is phase and each.path} for phase in Phase
    }
    assert paths[Phase.HASH] == new
    if way == "append":
        assert paths[Phase.WRITE] == paths[Phase.VERIFY] == new
    else:
        # All of it is one chunk here.
        assert len(paths[Phase.WRITE]) == 1
        assert paths[Phase.VERIFY] >= new
        assert {name.partition(":")[0] for name in paths[Phase.VERIFY]} <= set(contents(path, 1))


def check_changes(
    before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]
) -> None:
    added = {
        "/new", "/new and empty", "/made", "/made/to directory", "/made/to file",
        "/made/new link", "/made/moved", "/made/kept, third name",
    }  # fmt: skip
    gone = {"/System/small", "/System/same", "/a-link.txt"}
    assert set(after) == (set(before) | added) - gone
    for name in set(before) - gone - {"/", "/System", "/System/b.bin"}:
        assert after[name] == before[name], name
    assert after["/new"][5] == hash_of(words(30, 80_000))
    assert after["/new"][7] == ((b"stream", hash_of(b"in a new stream")),)
    assert after["/new and empty"][5] == bytes(20)
    assert after["/made/to directory"][0] == 0x410
    assert after["/made/to file"][0] == 0x400
    assert after["/made/moved"][2:] == before["/System/small"][2:]
    assert after["/made/kept, third name"][:11] == before["/System/kept"][:11]
    assert after["/made/kept, third name"][12:] == before["/System/kept"][12:]
    assert after["/System/b.bin"][13] == before["/System/b.bin"][13]
    assert after["/System/b.bin"][0] == before["/System/b.bin"][0] == 0x21


def test_nothing_changed_writes_nothing(tmp_path: Path) -> None:
    path = base(tmp_path / "a.wim")
    original = path.read_bytes()
    with Archive.open(path) as archive, overlay_on(archive, tmp_path) as overlay:
        tree = StagedTree(overlay.freeze())
        assert not tree.has_changes
        result = edit.commit_image(archive, 1, tree, options())
        assert not result.is_written
        assert path.read_bytes() == original
        result = edit.commit_image(archive, 1, tree, options(), force=True)
        assert result.is_written
    check_wim(path)
    assert path.read_bytes()[208 : len(original)] == original[208:]


def test_an_unchanged_subtree_is_taken_over_as_it_is(tmp_path: Path) -> None:
    path = base(tmp_path / "a.wim")
    before = contents(path, 1)
    with Archive.open(path) as archive, overlay_on(archive, tmp_path) as overlay:
        overlay.create_node(ROOT_INO, b"x", FILE)
        edit.commit_image(archive, 1, StagedTree(overlay.freeze()), options())
    after = contents(path, 1)
    assert set(after) - set(before) == {"/x"}
    assert all(after[name] == before[name] for name in before if name != "/")
    check_wim(path)


def test_hard_links_of_a_file_written_to(tmp_path: Path) -> None:
    path = base(tmp_path / "a.wim")
    with Archive.open(path) as archive, overlay_on(archive, tmp_path) as overlay:
        write(overlay, at(overlay, "/kept link"), words(31, 2_000))
        overlay.unlink(at(overlay, "/System"), b"a.txt")
        edit.commit_image(archive, 1, StagedTree(overlay.freeze()), options())
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        names = [tree.find(name) for name in ("/System/kept", "/kept link")]
        assert names[0].group_id == names[1].group_id != 0
        assert names[0].content_sha1 == names[1].content_sha1
        assert tree.find("/a-link.txt").group_id == 0
    check_wim(path)


def test_a_write_error_of_the_hook_stops_the_commit(tmp_path: Path) -> None:
    path = base(tmp_path / "a.wim")
    original = path.read_bytes()

    def fail(upcoming: UpcomingFile) -> None:
        raise OSError(28, os.strerror(28))

    for rebuild in (False, True):
        folder = tmp_path / str(rebuild)
        folder.mkdir()
        with Archive.open(path) as archive, overlay_on(archive, folder) as overlay:
            change(overlay)
            tree = StagedTree(overlay.freeze())
            with pytest.raises(OSError, match="No space"):
                edit.commit_image(archive, 1, tree, options(rebuild=rebuild, on_ready=fail))
        assert path.read_bytes() == original
        shutil.rmtree(folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wim"]
