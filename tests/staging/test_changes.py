"""What status shows, and restoring paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.staging.base_image import CONTENTS, FILE, FOLDER, ImageBuilder, Mount
from wimtui.engine.errors import NodeNotFoundError, NotPermittedError
from wimtui.engine.staging.changes import (
    Change,
    ChangedPart,
    ChangeKind,
    count_changes,
    is_clean,
    list_changes,
)
from wimtui.engine.staging.restore import Restored, restore
from wimtui.engine.tree import ROOT_INO, AttributeChanges, RenameMode, XattrMode

if TYPE_CHECKING:
    from pathlib import Path

    from wimtui.engine.tree import Ino

ADDED, MODIFIED, DELETED, RENAMED = (
    ChangeKind.ADDED,
    ChangeKind.MODIFIED,
    ChangeKind.DELETED,
    ChangeKind.RENAMED,
)
DATA, ATTRIBUTES, TIMES, STREAMS, NAMES = (frozenset({part}) for part in ChangedPart)


def move(mount: Mount, old: bytes, new: bytes) -> None:
    mount.overlay.rename(*mount.place(old), *mount.place(new), RenameMode.REPLACE)


def changes(mount: Mount) -> list[Change]:
    """What is listed, and the same again after a kill."""
    listed = list_changes(mount.overlay)
    mount.reopen()
    assert list_changes(mount.overlay) == listed
    assert count_changes(mount.overlay).count == len(listed)
    assert is_clean(mount.overlay) == (not listed)
    return listed


def test_a_script_is_told_exactly(mount: Mount) -> None:
    overlay = mount.overlay
    assert is_clean(overlay)
    mount.create_file(b"/new", b"12345")
    mount.make_directory(b"/folder")
    mount.create_file(b"/folder/inside")
    mount.write(mount.ino(b"/a.txt"), b"x" * 7000)
    overlay.change(mount.ino(b"/empty"), AttributeChanges(mtime_ns=5))
    overlay.set_xattr(mount.ino(b"/streams"), b"user.one", b"", XattrMode.ANY)
    overlay.set_xattr(mount.ino(b"/linked1"), b"system.ntfs_attrib", b"\x02\0\0\0", XattrMode.ANY)
    move(mount, b"/dir", b"/moved")
    move(mount, b"/moved/b.bin", b"/b")
    mount.unlink(b"/link")
    overlay.remove_xattr(mount.ino(b"/short name.txt"), b"system.ntfs_dos_name")
    assert changes(mount) == [
        Change(MODIFIED, b"/a.txt", None, DATA, 6000, 7000),
        Change(RENAMED, b"/b", b"/dir/b.bin", NAMES, 512_000, 512_000),
        Change(MODIFIED, b"/empty", None, TIMES, 0, 0),
        Change(ADDED, b"/folder", is_directory=True),
        Change(ADDED, b"/folder/inside", size_after=0),
        Change(DELETED, b"/link", size_before=9),
        Change(MODIFIED, b"/linked1", None, ATTRIBUTES, 11, 11),
        Change(RENAMED, b"/moved", b"/dir", NAMES, is_directory=True),
        Change(ADDED, b"/new", size_after=5),
        Change(MODIFIED, b"/short name.txt", None, NAMES, 5, 5),
        Change(MODIFIED, b"/streams", None, STREAMS, 4, 4),
    ]


def test_nothing_is_left_of_what_was_undone(mount: Mount) -> None:
    mount.create_file(b"/new", b"x")
    move(mount, b"/dir", b"/moved")
    mount.overlay.set_xattr(mount.ino(b"/a.txt"), b"user.x", b"", XattrMode.ANY)
    mount.unlink(b"/new")
    move(mount, b"/moved", b"/dir")
    mount.overlay.remove_xattr(mount.ino(b"/a.txt"), b"user.x")
    assert changes(mount) == []


def test_a_deleted_directory_is_one_change(mount: Mount) -> None:
    mount.unlink(b"/dir/b.bin")
    move(mount, b"/dir/sub/c", b"/saved")
    mount.overlay.remove_directory(mount.ino(b"/dir"), b"sub")
    mount.overlay.remove_directory(ROOT_INO, b"dir")
    assert changes(mount) == [
        Change(DELETED, b"/dir", is_directory=True),
        Change(RENAMED, b"/saved", b"/dir/sub/c", NAMES, 1, 1),
    ]


def test_a_file_replaced_as_editors_do_is_modified(mount: Mount) -> None:
    mount.create_file(b"/a.txt~", b"new text")
    move(mount, b"/a.txt~", b"/a.txt")
    assert changes(mount) == [Change(MODIFIED, b"/a.txt", None, DATA | ATTRIBUTES, 6000, 8)]


def test_a_second_name_is_an_addition(mount: Mount) -> None:
    mount.overlay.link(mount.ino(b"/linked1"), ROOT_INO, b"third")
    mount.unlink(b"/linked2")
    mount.overlay.link(mount.ino(b"/a.txt"), ROOT_INO, b"second")
    assert changes(mount) == [
        Change(ADDED, b"/second", size_after=6000),
        Change(RENAMED, b"/third", b"/linked2", NAMES, 11, 11),
    ]


def test_a_renamed_and_written_file_is_both(mount: Mount) -> None:
    move(mount, b"/a.txt", b"/b.txt")
    mount.write(mount.ino(b"/b.txt"), b"X")
    assert changes(mount) == [Change(RENAMED, b"/b.txt", b"/a.txt", NAMES | DATA, 6000, 6000)]


class TestRestore:
    """Undoing what is staged of a path."""

    def undo(self, mount: Mount, path: bytes) -> Restored:
        restored = restore(mount.overlay, path)
        for ino in restored.unlinked:
            mount.overlay.forget(ino)
        return restored

    def test_data(self, mount: Mount) -> None:
        ino = mount.ino(b"/a.txt")
        mount.write(ino, b"changed")
        assert self.undo(mount, b"/a.txt").inodes == {ino}
        assert mount.read(b"/a.txt") == CONTENTS[b"/a.txt"]
        assert changes(mount) == []
        mount.overlay.store.collect()
        assert mount.overlay.store.staged_nbytes() == 0

    def test_a_deletion(self, mount: Mount) -> None:
        mount.unlink(b"/a.txt")
        assert self.undo(mount, b"/a.txt").entries == {(ROOT_INO, b"a.txt")}
        assert changes(mount) == []
        assert mount.overlay.attributes(mount.ino(b"/a.txt")).nlink == 1

    def test_an_addition(self, mount: Mount) -> None:
        mount.make_directory(b"/new")
        mount.create_file(b"/new/x", b"x")
        move(mount, b"/a.txt", b"/new/a.txt")
        restored = self.undo(mount, b"/new")
        assert len(restored.unlinked) == 2
        assert not mount.has(b"/new")
        assert mount.read(b"/a.txt") == CONTENTS[b"/a.txt"]
        assert changes(mount) == []

    @pytest.mark.parametrize("path", [b"/dir", b"/moved"])
    def test_a_rename_by_either_name(self, mount: Mount, path: bytes) -> None:
        move(mount, b"/dir", b"/moved")
        mount.write(mount.ino(b"/moved/b.bin"), b"x")
        self.undo(mount, path)
        assert mount.has(b"/dir/sub/c")
        assert not mount.has(b"/moved")
        assert changes(mount) == []

    def test_one_file_of_a_deleted_tree(self, mount: Mount) -> None:
        mount.unlink(b"/dir/b.bin")
        mount.unlink(b"/dir/sub/c")
        mount.overlay.remove_directory(mount.ino(b"/dir"), b"sub")
        mount.overlay.remove_directory(ROOT_INO, b"dir")
        self.undo(mount, b"/dir/sub/c")
        assert mount.read(b"/dir/sub/c") == b"c"
        assert changes(mount) == [Change(DELETED, b"/dir/b.bin", size_before=512_000)]
        self.undo(mount, b"/dir")
        assert changes(mount) == []

    def test_a_replaced_name(self, mount: Mount) -> None:
        mount.create_file(b"/t", b"new")
        move(mount, b"/t", b"/a.txt")
        move(mount, b"/empty", b"/streams")
        self.undo(mount, b"/a.txt")
        self.undo(mount, b"/streams")
        assert mount.read(b"/streams") == b"main"
        assert changes(mount) == []

    def test_everything(self, mount: Mount) -> None:
        mount.overlay.rename(ROOT_INO, b"dir", ROOT_INO, b"a.txt", RenameMode.EXCHANGE)
        mount.overlay.link(mount.ino(b"/empty"), mount.ino(b"/a.txt"), b"linked")
        mount.unlink(b"/linked1")
        mount.overlay.make_symlink(ROOT_INO, b"new link", b"x", FILE)
        mount.overlay.set_xattr(ROOT_INO, b"user.x", b"", XattrMode.ANY)
        self.undo(mount, b"/")
        assert changes(mount) == []
        assert mount.overlay.layer.directories == {}

    def test_other_changes_stay(self, mount: Mount) -> None:
        mount.create_file(b"/other", b"x")
        mount.write(mount.ino(b"/a.txt"), b"x")
        self.undo(mount, b"/a.txt")
        assert changes(mount) == [Change(ADDED, b"/other", size_after=1)]

    def test_a_file_open_for_writing_is_refused(self, mount: Mount) -> None:
        ino: Ino = mount.ino(b"/a.txt")
        mount.unlink(b"/empty")
        file = mount.overlay.open_for_writing(ino)
        file.write(0, b"X")
        for path in (b"/a.txt", b"/"):
            with pytest.raises(NotPermittedError):
                restore(mount.overlay, path)
        assert mount.read(b"/a.txt")[:1] == b"X"
        # Nothing of a refused restore has come true.
        assert not mount.has(b"/empty")
        file.close()
        self.undo(mount, b"/")
        assert changes(mount) == []

    def test_a_path_that_never_was(self, mount: Mount) -> None:
        with pytest.raises(NodeNotFoundError):
            restore(mount.overlay, b"/nothing")

    def test_a_file_whose_first_name_is_elsewhere(self, tmp_path: Path) -> None:
        image = ImageBuilder()
        image.file(b"/a", b"data", group_id=7)
        image.file(b"/dir/b", b"data", group_id=7)
        mount = Mount.create(image.write(tmp_path / "linked.wim"), tmp_path)
        mount.write(mount.ino(b"/dir/b"), b"X")
        self.undo(mount, b"/dir")
        assert mount.read(b"/a") == mount.read(b"/dir/b") == b"data"
        assert changes(mount) == []
        mount.close()

    def test_a_name_in_directories_that_were_exchanged(self, mount: Mount) -> None:
        mount.overlay.make_directory(ROOT_INO, b"other", FOLDER)
        mount.create_file(b"/other/b.bin", b"new")
        mount.overlay.rename(ROOT_INO, b"dir", ROOT_INO, b"other", RenameMode.EXCHANGE)
        mount.write(mount.ino(b"/other/b.bin"), b"X")
        self.undo(mount, b"/dir/b.bin")
        # What has the name, and what had it; their directories stay where they are.
        assert not mount.has(b"/dir/b.bin")
        assert mount.read(b"/other/b.bin") == CONTENTS[b"/dir/b.bin"]
