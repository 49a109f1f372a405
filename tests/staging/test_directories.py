"""Names: making, linking, removing, renaming, and which names can be given."""

from __future__ import annotations

import logging
import stat
from typing import TYPE_CHECKING

import pytest

from tests.staging.base_image import FILE, FOLDER, TICKS, Mount, unix_options
from wimtui.engine.errors import (
    DirectoryNotEmptyError,
    InvalidNameError,
    IsADirectoryNodeError,
    NameEncodingError,
    NameTooLongError,
    NodeExistsError,
    NodeNotFoundError,
    NotADirectoryNodeError,
    NotPermittedError,
    NotSupportedNodeError,
    StaleNodeError,
)
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.reparse import RP_FLAG_NOT_FIXED
from wimtui.engine.image.view import ViewOptions
from wimtui.engine.staging.node import FIRST_NEW_ID
from wimtui.engine.staging.options import OverlayOptions
from wimtui.engine.timestamps import ticks_to_ns
from wimtui.engine.tree import ROOT_INO, Creator, Ino, RenameMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.staging.node import StagedNode

    Make = Callable[[OverlayOptions | None], Mount]


def node_of(mount: Mount, path: bytes) -> StagedNode:
    return mount.overlay.layer.nodes[mount.ino(path)]


def move(mount: Mount, old: bytes, new: bytes, mode: RenameMode = RenameMode.REPLACE) -> None:
    mount.overlay.rename(*mount.place(old), *mount.place(new), mode)


def test_new_nodes_have_the_defaults_of_the_format(mount: Mount) -> None:
    before = mount.overlay.attributes(ROOT_INO).mtime_ns
    file = mount.create_file(b"/new")
    folder = mount.make_directory(b"/folder")
    assert file >= FIRST_NEW_ID
    assert node_of(mount, b"/new").attributes == FileAttribute.NORMAL
    assert node_of(mount, b"/folder").attributes == FileAttribute.DIRECTORY
    node = node_of(mount, b"/new")
    assert node.security_id == -1
    assert node.creation_time == node.access_time == node.write_time
    assert node.tagged_items == b""
    assert mount.overlay.attributes(file).mode == stat.S_IFREG | 0o777
    assert mount.overlay.attributes(folder).mode == stat.S_IFDIR | 0o777
    assert mount.overlay.attributes(ROOT_INO).mtime_ns > before


def test_owner_mode_and_device_are_kept_with_unix_data(make_mount: Make) -> None:
    mount = make_mount(unix_options())
    overlay = mount.overlay
    for name, kind in ((b"fifo", stat.S_IFIFO), (b"socket", stat.S_IFSOCK), (b"dev", stat.S_IFCHR)):
        overlay.create_node(ROOT_INO, name, Creator(kind | 0o640, 5, 6, 0x0501))
    mount.reopen()
    for name, kind in ((b"fifo", stat.S_IFIFO), (b"socket", stat.S_IFSOCK), (b"dev", stat.S_IFCHR)):
        found = mount.overlay.attributes(mount.ino(b"/" + name))
        assert (found.mode, found.uid, found.gid) == (kind | 0o640, 5, 6)
        assert found.rdev == 0x0501
    folder = mount.overlay.make_directory(ROOT_INO, b"folder", Creator(0o750, 7, 8))
    assert mount.overlay.attributes(folder).mode == stat.S_IFDIR | 0o750


def test_a_set_group_id_directory_hands_down_its_group(make_mount: Make) -> None:
    mount = make_mount(unix_options())
    shared = mount.overlay.make_directory(ROOT_INO, b"shared", Creator(0o2775, 5, 6))
    folder = mount.overlay.make_directory(shared, b"folder", Creator(0o755, 7, 8))
    file = mount.overlay.create_node(folder, b"file", Creator(stat.S_IFREG | 0o640, 7, 8))
    mount.overlay.make_symlink(shared, b"link", b"folder", Creator(0, 7, 8))
    link = mount.ino(b"/shared/link")
    modes = (stat.S_IFDIR | 0o2755, stat.S_IFREG | 0o640, stat.S_IFLNK | 0o777)
    for made, mode in zip((folder, file, link), modes, strict=True):
        found = mount.overlay.attributes(made)
        assert (found.mode, found.uid, found.gid) == (mode, 7, 6)


def test_special_files_need_unix_data(mount: Mount) -> None:
    with pytest.raises(NotPermittedError):
        mount.overlay.create_node(ROOT_INO, b"fifo", Creator(stat.S_IFIFO | 0o600, 0, 0))
    assert not mount.has(b"/fifo")


def test_a_taken_name_is_refused(mount: Mount) -> None:
    for make in (mount.create_file, mount.make_directory):
        with pytest.raises(NodeExistsError):
            make(b"/a.txt")
    with pytest.raises(NodeExistsError):
        mount.overlay.link(mount.ino(b"/empty"), ROOT_INO, b"dir")


def test_names_go_into_directories_only(mount: Mount) -> None:
    with pytest.raises(NotADirectoryNodeError):
        mount.overlay.create_node(mount.ino(b"/a.txt"), b"x", FILE)
    with pytest.raises(NotADirectoryNodeError):
        mount.overlay.lookup(mount.ino(b"/a.txt"), b"x")
    with pytest.raises(StaleNodeError):
        mount.overlay.create_node(Ino(FIRST_NEW_ID + 99), b"x", FILE)
    with pytest.raises(StaleNodeError):
        mount.overlay.attributes(Ino(12345))
    removed = mount.overlay.remove_directory(ROOT_INO, b"empty dir")
    with pytest.raises(NodeNotFoundError):
        mount.overlay.create_node(removed, b"x", FILE)


@pytest.mark.parametrize(
    ("target", "mount_root", "shown", "flags"),
    [
        (b"relative/x", b"/m", b"relative/x", RP_FLAG_NOT_FIXED),
        (b"/outside", b"/m", b"/outside", RP_FLAG_NOT_FIXED),
        (b"/mother", b"/m", b"/mother", RP_FLAG_NOT_FIXED),
        (b"/m/Users/x", b"/m", b"/m/Users/x", 0),
        (b"/m", b"/m", b"/m", 0),
        (b"/m/", b"/m", b"/m/", 0),
        (b"back\\slash", b"", b"back\\slash", RP_FLAG_NOT_FIXED),
        ("ümläut".encode(), b"", "ümläut".encode(), RP_FLAG_NOT_FIXED),
    ],
)
def test_symlinks_are_native_and_follow_the_mount(
    make_mount: Make, target: bytes, mount_root: bytes, shown: bytes, flags: int
) -> None:
    mount = make_mount(OverlayOptions(ViewOptions(mount_root=mount_root)))
    ino = mount.overlay.make_symlink(ROOT_INO, b"new link", target, FILE)
    mount.reopen()
    assert mount.overlay.read_link(ino) == shown
    found = mount.overlay.attributes(ino)
    assert stat.S_ISLNK(found.mode)
    assert found.size == len(shown)
    node = node_of(mount, b"/new link")
    assert node.attributes == FileAttribute.REPARSE_POINT
    assert node.rp_flags == flags


def test_a_link_into_the_mount_follows_it_elsewhere(make_mount: Make) -> None:
    mount = make_mount(OverlayOptions(ViewOptions(mount_root=b"/m")))
    ino = mount.overlay.make_symlink(ROOT_INO, b"new link", b"/m/Users", FILE)
    mount.overlay.store.put_settings(
        {"options": OverlayOptions(ViewOptions(mount_root=b"/elsewhere")).to_json()}
    )
    mount.reopen()
    assert mount.overlay.read_link(ino) == b"/elsewhere/Users"


@pytest.mark.parametrize("target", [b"x" * 4095, b"/" + b"y" * 4090, b"\xff"])
def test_targets_that_reparse_data_cannot_hold_are_refused(mount: Mount, target: bytes) -> None:
    with pytest.raises(InvalidNameError):
        mount.overlay.make_symlink(ROOT_INO, b"new link", target, FILE)
    assert not mount.has(b"/new link")


def test_links_share_everything(mount: Mount) -> None:
    ino = mount.ino(b"/a.txt")
    mount.overlay.link(ino, mount.ino(b"/dir"), b"again")
    assert mount.overlay.attributes(ino).nlink == 2
    mount.write(mount.ino(b"/dir/again"), b"ALPHA")
    assert mount.read(b"/a.txt").startswith(b"ALPHA")
    mount.reopen()
    assert mount.ino(b"/dir/again") == ino
    assert mount.overlay.attributes(ino).nlink == 2
    mount.unlink(b"/a.txt")
    assert mount.read(b"/dir/again").startswith(b"ALPHA")
    assert mount.overlay.attributes(ino).nlink == 1


@pytest.mark.parametrize("path", [b"/dir", b"/link", b"/opaque"])
def test_what_a_wim_cannot_link_is_refused(mount: Mount, path: bytes) -> None:
    with pytest.raises(NotPermittedError):
        mount.overlay.link(mount.ino(path), ROOT_INO, b"second")


def test_removing(mount: Mount) -> None:
    with pytest.raises(IsADirectoryNodeError):
        mount.overlay.unlink(ROOT_INO, b"dir")
    with pytest.raises(NotADirectoryNodeError):
        mount.overlay.remove_directory(ROOT_INO, b"a.txt")
    with pytest.raises(DirectoryNotEmptyError):
        mount.overlay.remove_directory(ROOT_INO, b"dir")
    with pytest.raises(NodeNotFoundError):
        mount.overlay.unlink(ROOT_INO, b"nothing")
    for path in (b"/a.txt", b"/link", b"/opaque", b"/secret"):
        mount.unlink(path)
        assert not mount.has(path)
    mount.unlink(b"/dir/b.bin")
    mount.unlink(b"/dir/sub/c")
    mount.overlay.remove_directory(mount.ino(b"/dir"), b"sub")
    mount.overlay.remove_directory(ROOT_INO, b"dir")
    mount.reopen()
    listed = [name for name, _ in mount.overlay.list_directory(ROOT_INO)]
    assert listed == [b"empty", b"empty dir", b"linked1", b"linked2", b"short name.txt", b"streams"]


def test_an_unlinked_file_lives_until_it_is_forgotten(mount: Mount) -> None:
    ino = mount.create_file(b"/new", b"data")
    file = mount.overlay.open_for_writing(ino)
    mount.unlink(b"/new", forget=False)
    assert mount.overlay.attributes(ino).nlink == 0
    file.write(4, b" and more")
    assert file.read(0, 100) == b"data and more"
    assert mount.overlay.attributes(ino).size == 13
    file.close()
    mount.overlay.forget(ino)
    with pytest.raises(StaleNodeError):
        mount.overlay.attributes(ino)
    mount.overlay.store.collect()
    assert mount.overlay.store.staged_nbytes() == 0


def test_an_unlinked_file_is_gone_after_a_kill(mount: Mount) -> None:
    ino = mount.create_file(b"/new", b"data")
    mount.write(mount.ino(b"/a.txt"), b"changed")
    mount.unlink(b"/new", forget=False)
    mount.unlink(b"/a.txt", forget=False)
    mount.reopen()
    with pytest.raises(StaleNodeError):
        mount.overlay.attributes(ino)
    mount.overlay.store.collect()
    assert mount.overlay.store.staged_nbytes() == 0


def test_rename_replaces_like_with_like(mount: Mount) -> None:
    mount.make_directory(b"/full")
    mount.create_file(b"/full/x")
    with pytest.raises(NotADirectoryNodeError):
        move(mount, b"/dir", b"/a.txt")
    with pytest.raises(IsADirectoryNodeError):
        move(mount, b"/a.txt", b"/empty dir")
    with pytest.raises(DirectoryNotEmptyError):
        move(mount, b"/dir", b"/full")
    with pytest.raises(NodeNotFoundError):
        move(mount, b"/nothing", b"/x")
    with pytest.raises(NodeExistsError):
        move(mount, b"/a.txt", b"/empty", RenameMode.NO_REPLACE)
    ino = mount.ino(b"/dir")
    move(mount, b"/dir", b"/empty dir")
    move(mount, b"/a.txt", b"/empty")
    mount.reopen()
    assert mount.ino(b"/empty dir") == ino
    assert mount.read(b"/empty").startswith(b"alpha")
    assert mount.read(b"/empty dir/sub/c") == b"c"
    assert not mount.has(b"/dir")
    assert not mount.has(b"/a.txt")


def test_a_directory_cannot_move_into_itself(mount: Mount) -> None:
    for mode in RenameMode:
        with pytest.raises((InvalidNameError, NodeNotFoundError)) as raised:
            move(mount, b"/dir", b"/dir/sub/x", mode)
        assert isinstance(raised.value, InvalidNameError)
    with pytest.raises(DirectoryNotEmptyError):
        move(mount, b"/dir/sub", b"/dir")
    with pytest.raises(InvalidNameError):
        move(mount, b"/dir/sub", b"/dir", RenameMode.EXCHANGE)


def test_exchange_swaps_files_and_directories(mount: Mount) -> None:
    file, folder = mount.ino(b"/a.txt"), mount.ino(b"/dir/sub")
    move(mount, b"/a.txt", b"/dir/sub", RenameMode.EXCHANGE)
    mount.reopen()
    assert mount.ino(b"/a.txt") == folder
    assert mount.ino(b"/dir/sub") == file
    assert mount.overlay.parent(folder) == ROOT_INO
    with pytest.raises(NodeNotFoundError):
        move(mount, b"/a.txt", b"/nothing", RenameMode.EXCHANGE)


def test_rename_onto_another_link_of_the_file_does_nothing(mount: Mount) -> None:
    move(mount, b"/linked1", b"/linked2")
    assert mount.ino(b"/linked1") == mount.ino(b"/linked2")
    with pytest.raises(NodeExistsError):
        move(mount, b"/linked1", b"/linked2", RenameMode.NO_REPLACE)


def test_rename_touches_both_parents_and_drops_the_short_name(mount: Mount) -> None:
    move(mount, b"/short name.txt", b"/dir/other.txt")
    old = ticks_to_ns(TICKS)
    assert mount.overlay.attributes(ROOT_INO).mtime_ns > old
    assert mount.overlay.attributes(mount.ino(b"/dir")).mtime_ns > old
    entry = mount.overlay.layer.entry(mount.ino(b"/dir"), b"other.txt")
    assert entry is not None
    assert entry.short_name == b""


def test_a_rename_there_and_back_leaves_nothing_staged_of_names(mount: Mount) -> None:
    move(mount, b"/a.txt", b"/b")
    move(mount, b"/b", b"/a.txt")
    assert mount.overlay.layer.directories == {}


def test_long_names(mount: Mount) -> None:
    longest = "ü".encode() * 255
    mount.create_file(b"/" + longest)
    mount.reopen()
    assert mount.has(b"/" + longest)
    with pytest.raises(NameTooLongError):
        mount.create_file(b"/" + b"x" * 256)
    # Each of these takes two units.
    with pytest.raises(NameTooLongError):
        mount.create_file(b"/" + "😀".encode() * 128)
    mount.create_file(b"/" + "😀".encode() * 127)


@pytest.mark.parametrize("name", [b"\xff", b"a\xc3", b"\xed\xa0\xbd\xed\xb8\x80"])
def test_names_that_are_not_utf8_are_refused(mount: Mount, name: bytes) -> None:
    for make in (mount.create_file, mount.make_directory):
        with pytest.raises(NameEncodingError):
            make(b"/" + name)
    with pytest.raises(NameEncodingError):
        move(mount, b"/a.txt", b"/" + name)
    assert not mount.has(b"/" + name)


def test_a_lone_surrogate_is_a_name(mount: Mount) -> None:
    mount.create_file(b"/\xed\xa0\xbd")
    mount.reopen()
    assert mount.has(b"/\xed\xa0\xbd")


def test_names_that_windows_forbids_are_told_of_once(
    mount: Mount, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        mount.create_file(b"/what?")
        mount.make_directory(b"/NUL")
        mount.create_file(b"/ends with a dot.")
    assert len(caplog.records) == 1
    assert "what?" in caplog.text


@pytest.mark.parametrize(
    "name", [b"a:b", b"a*", b"a\\b", b"x ", b"x.", b"nul.txt", b"COM7", b"\x01"]
)
def test_windows_names_refuses_them(make_mount: Make, name: bytes) -> None:
    mount = make_mount(OverlayOptions(windows_names=True))
    for make in (mount.create_file, mount.make_directory):
        with pytest.raises(InvalidNameError):
            make(b"/" + name)
    with pytest.raises(InvalidNameError):
        move(mount, b"/a.txt", b"/" + name)
    mount.create_file(b"/COM10.txt")


def test_names_that_differ_by_case_are_two(mount: Mount) -> None:
    mount.create_file(b"/A.TXT", b"upper")
    assert mount.read(b"/A.TXT") == b"upper"
    assert mount.read(b"/a.txt").startswith(b"alpha")
    listed = [name for name, _ in mount.overlay.list_directory(ROOT_INO)]
    assert listed[:3] == [b"A.TXT", b"a.txt", b"dir"]


class TestIgnoreCase:
    """The option that finds names in any case."""

    @pytest.fixture
    def mount(self, make_mount: Make) -> Mount:
        return make_mount(OverlayOptions(ViewOptions(ignore_case=True)))

    def test_finds_base_and_new_names(self, mount: Mount) -> None:
        mount.create_file(b"/New Name", b"new")
        assert mount.read(b"/NEW NAME") == b"new"
        assert mount.read(b"/DIR/SUB/C") == b"c"
        with pytest.raises(NodeExistsError):
            mount.create_file(b"/A.TXT")
        mount.unlink(b"/A.txt")
        assert not mount.has(b"/a.txt")
        mount.create_file(b"/A.TXT", b"other")
        assert mount.read(b"/a.txt") == b"other"

    def test_changes_the_case_of_a_name(self, mount: Mount) -> None:
        ino = mount.ino(b"/a.txt")
        move(mount, b"/a.txt", b"/A.TXT")
        assert mount.ino(b"/a.txt") == ino
        listed = [name for name, _ in mount.overlay.list_directory(ROOT_INO)]
        assert b"A.TXT" in listed
        assert b"a.txt" not in listed

    def test_replaces_under_the_name_given(self, mount: Mount) -> None:
        move(mount, b"/empty", b"/A.Txt")
        listed = [name for name, _ in mount.overlay.list_directory(ROOT_INO)]
        assert b"A.Txt" in listed
        assert b"a.txt" not in listed


def test_opaque_directories_hold_nothing(mount: Mount) -> None:
    with pytest.raises(NotADirectoryNodeError):
        mount.overlay.create_node(mount.ino(b"/opaque"), b"x", FILE)
    with pytest.raises(NotSupportedNodeError):
        mount.overlay.open_for_writing(mount.ino(b"/opaque"))


def test_listings_are_in_collation_order(mount: Mount) -> None:
    for name in (b"z", b"B", b"a", b"_", b"10", b"9"):
        mount.overlay.make_directory(mount.ino(b"/empty dir"), name, FOLDER)
    listed = [name for name, _ in mount.overlay.list_directory(mount.ino(b"/empty dir"))]
    assert listed == [b"10", b"9", b"a", b"B", b"z", b"_"]
