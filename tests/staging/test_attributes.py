"""Owners and times, named streams as attributes and as files, and the names of ntfs-3g."""

from __future__ import annotations

import logging
import stat
import struct
from typing import TYPE_CHECKING

import pytest

from tests.staging.base_image import FILE, TICKS, Mount, unix_options
from wimtui.engine.errors import (
    AttributeExistsError,
    AttributeTooLargeError,
    InvalidNameError,
    NodeExistsError,
    NodeNotFoundError,
    NoSuchAttributeError,
    NotPermittedError,
    NotSupportedNodeError,
    StaleNodeError,
    StreamsDisabledError,
    UsageError,
)
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.view import StreamsInterface, ViewOptions
from wimtui.engine.staging.options import OverlayOptions
from wimtui.engine.timestamps import ns_to_ticks, ticks_to_ns
from wimtui.engine.tree import ROOT_INO, AttributeChanges, Creator, RenameMode, XattrMode

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[OverlayOptions | None], Mount]

CHOWN = AttributeChanges(uid=5, gid=6)
CHMOD = AttributeChanges(mode=0o600)
WINDOWS = OverlayOptions(ViewOptions(streams=StreamsInterface.WINDOWS))


class TestOwners:
    """Owners and modes."""

    def test_are_ignored_and_told_of_once(
        self, mount: Mount, caplog: pytest.LogCaptureFixture
    ) -> None:
        ino = mount.ino(b"/a.txt")
        before = mount.overlay.attributes(ino)
        with caplog.at_level(logging.WARNING):
            for changes in (CHOWN, CHMOD, CHOWN):
                mount.overlay.change(ino, changes)
        assert len(caplog.records) == 1
        assert mount.overlay.attributes(ino) == before
        assert mount.overlay.layer.nodes == {}

    def test_are_refused_where_silence_is_off(self, make_mount: Make) -> None:
        mount = make_mount(OverlayOptions(silent=False))
        for changes in (CHOWN, CHMOD):
            with pytest.raises(NotSupportedNodeError):
                mount.overlay.change(mount.ino(b"/a.txt"), changes)

    @pytest.mark.parametrize("path", [b"/a.txt", b"/dir", b"/link"])
    def test_are_kept_with_unix_data(self, make_mount: Make, path: bytes) -> None:
        mount = make_mount(unix_options(uid=77, gid=88, umask=0o22))
        ino = mount.ino(path)
        mount.overlay.change(ino, AttributeChanges(uid=5))
        mount.reopen()
        found = mount.overlay.attributes(ino)
        assert (found.uid, found.gid) == (5, 88)
        assert stat.S_IMODE(found.mode) == (0o777 if path == b"/link" else 0o755)
        mount.overlay.change(ino, CHMOD)
        mount.reopen()
        assert stat.S_IMODE(mount.overlay.attributes(ino).mode) == 0o600

    def test_times_are_cut_to_100_ns(self, mount: Mount) -> None:
        ino = mount.ino(b"/dir")
        mount.overlay.change(ino, AttributeChanges(atime_ns=1_000_000_199, mtime_ns=-1))
        mount.reopen()
        found = mount.overlay.attributes(ino)
        assert (found.atime_ns, found.mtime_ns) == (1_000_000_100, -100)
        assert found.ctime_ns == found.mtime_ns

    def test_times_beyond_the_format_are_clamped(self, mount: Mount) -> None:
        ino = mount.ino(b"/a.txt")
        mount.overlay.change(ino, AttributeChanges(mtime_ns=-(10**20), atime_ns=10**22))
        found = mount.overlay.attributes(ino)
        assert found.mtime_ns == ticks_to_ns(0)
        assert found.atime_ns == ticks_to_ns(2**63 - 1)

    def test_strange_times_of_the_image_stay(self, mount: Mount) -> None:
        ino = mount.ino(b"/a.txt")
        strange = struct.pack("<3Q", 2**64 - 1, 2**63, 0)
        mount.overlay.set_xattr(ino, b"system.ntfs_times", strange, XattrMode.ANY)
        mount.reopen()
        assert mount.overlay.get_xattr(ino, b"system.ntfs_times")[:24] == strange


class TestStreamsAsAttributes:
    """Named streams as ``user.`` attributes."""

    def test_are_set_listed_and_removed(self, mount: Mount) -> None:
        overlay = mount.overlay
        for path in (b"/a.txt", b"/dir", b"/streams", b"/"):
            ino = mount.ino(path)
            overlay.set_xattr(ino, b"user.new", b"value", XattrMode.CREATE)
            overlay.set_xattr(ino, b"user.empty", b"", XattrMode.ANY)
        overlay.set_xattr(mount.ino(b"/streams"), b"user.one", b"changed", XattrMode.REPLACE)
        overlay = mount.reopen()
        ino = mount.ino(b"/streams")
        assert overlay.list_xattrs(ino) == [b"user.one", b"user.Two", b"user.new", b"user.empty"]
        assert overlay.get_xattr(ino, b"user.one") == b"changed"
        assert overlay.get_xattr(ino, b"user.Two") == b"2"
        assert overlay.get_xattr(mount.ino(b"/"), b"user.empty") == b""
        overlay.remove_xattr(ino, b"user.one")
        overlay = mount.reopen()
        assert b"user.one" not in overlay.list_xattrs(ino)
        assert mount.read(b"/streams") == b"main"
        assert overlay.attributes(ino).mtime_ns == ticks_to_ns(TICKS)

    def test_flags(self, mount: Mount) -> None:
        ino = mount.ino(b"/streams")
        with pytest.raises(AttributeExistsError):
            mount.overlay.set_xattr(ino, b"user.one", b"x", XattrMode.CREATE)
        for name in (b"user.none", b"user.", b"security.x"):
            with pytest.raises(NoSuchAttributeError):
                mount.overlay.remove_xattr(ino, name)
            with pytest.raises(NoSuchAttributeError):
                mount.overlay.get_xattr(ino, name)
        with pytest.raises(NoSuchAttributeError):
            mount.overlay.set_xattr(ino, b"user.none", b"x", XattrMode.REPLACE)

    def test_names_in_another_case_are_the_same(self, mount: Mount) -> None:
        ino = mount.ino(b"/streams")
        mount.overlay.set_xattr(ino, b"user.TWO", b"second", XattrMode.REPLACE)
        assert mount.overlay.list_xattrs(ino) == [b"user.one", b"user.Two"]
        assert mount.overlay.get_xattr(ino, b"user.two") == b"second"

    def test_limits(self, mount: Mount) -> None:
        ino = mount.ino(b"/a.txt")
        mount.overlay.set_xattr(ino, b"user.full", b"x" * 65536, XattrMode.ANY)
        assert len(mount.overlay.get_xattr(ino, b"user.full")) == 65536
        with pytest.raises(AttributeTooLargeError):
            mount.overlay.set_xattr(ino, b"user.big", b"x" * 65537, XattrMode.ANY)
        for name in (b"user.", b"user.a:b", b"user.a/b", b"user.a\\b"):
            with pytest.raises(InvalidNameError):
                mount.overlay.set_xattr(ino, name, b"", XattrMode.ANY)
        with pytest.raises(NotSupportedNodeError):
            mount.overlay.set_xattr(ino, b"trusted.x", b"", XattrMode.ANY)

    def test_some_files_have_none(self, mount: Mount) -> None:
        with pytest.raises(NotPermittedError):
            mount.overlay.set_xattr(mount.ino(b"/link"), b"user.x", b"", XattrMode.ANY)
        with pytest.raises(NotSupportedNodeError):
            mount.overlay.set_xattr(mount.ino(b"/secret"), b"user.x", b"", XattrMode.ANY)
        mount.overlay.set_xattr(mount.ino(b"/opaque"), b"user.x", b"yes", XattrMode.ANY)
        mount.reopen()
        assert mount.overlay.get_xattr(mount.ino(b"/opaque"), b"user.x") == b"yes"

    def test_are_off_with_another_interface(self, make_mount: Make) -> None:
        mount = make_mount(WINDOWS)
        ino = mount.create_file(b"/new")
        for number in (ino, mount.ino(b"/a.txt")):
            with pytest.raises(StreamsDisabledError):
                mount.overlay.set_xattr(number, b"user.x", b"", XattrMode.ANY)
            with pytest.raises(StreamsDisabledError):
                mount.overlay.remove_xattr(number, b"user.x")
            with pytest.raises(StreamsDisabledError):
                mount.overlay.list_xattrs(number)


class TestStreamsAsFiles:
    """``file:stream`` names."""

    @pytest.fixture
    def mount(self, make_mount: Make) -> Mount:
        return make_mount(WINDOWS)

    def test_of_the_image(self, mount: Mount) -> None:
        ino = mount.ino(b"/streams:one")
        mount.write(ino, b"STREAM")
        assert mount.read(b"/streams:one") == b"STREAM one"
        assert mount.read(b"/streams:ONE:$DATA") == b"STREAM one"
        assert mount.read(b"/streams") == b"main"
        assert mount.ino(b"/streams:one") == ino
        mount.overlay.change(ino, AttributeChanges(size=3))
        mount.reopen()
        assert mount.read(b"/streams:one") == b"STR"
        assert mount.ino(b"/streams:one") == ino
        assert mount.read(b"/streams:Two") == b"2"
        assert mount.ino(b"/streams::$DATA") == mount.ino(b"/streams")

    def test_made_and_removed(self, mount: Mount) -> None:
        ino = mount.create_file(b"/a.txt:new", b"x" * 100_000)
        folder = mount.create_file(b"/dir:zone", b"on a directory")
        mount.reopen()
        assert mount.ino(b"/a.txt:new") == ino
        assert mount.ino(b"/dir:zone") == folder
        assert mount.read(b"/a.txt:new") == b"x" * 100_000
        assert mount.read(b"/dir:zone") == b"on a directory"
        found = mount.overlay.attributes(ino)
        assert (stat.S_IFMT(found.mode), found.nlink) == (stat.S_IFREG, 1)
        assert mount.unlink(b"/a.txt:new") == ino
        mount.unlink(b"/streams:one")
        mount.reopen()
        assert not mount.has(b"/a.txt:new")
        assert not mount.has(b"/streams:one")
        assert mount.has(b"/streams:Two")
        with pytest.raises(StaleNodeError):
            mount.overlay.attributes(ino)

    def test_an_unlinked_stream_lives_while_it_is_open(self, mount: Mount) -> None:
        ino = mount.create_file(b"/a.txt:new", b"data")
        file = mount.overlay.open_for_writing(ino)
        mount.unlink(b"/a.txt:new")
        file.write(0, b"DATA")
        assert file.read(0, 10) == b"DATA"
        file.close()

    def test_refusals(self, mount: Mount) -> None:
        overlay = mount.overlay
        with pytest.raises(NodeNotFoundError):
            mount.create_file(b"/nothing:x")
        with pytest.raises(NodeExistsError):
            mount.create_file(b"/streams:ONE")
        with pytest.raises(NodeNotFoundError):
            mount.unlink(b"/streams:none")
        with pytest.raises(NotSupportedNodeError):
            mount.unlink(b"/streams::$DATA")
        with pytest.raises(NotSupportedNodeError):
            overlay.create_node(ROOT_INO, b"a.txt:x", Creator(stat.S_IFIFO, 0, 0))
        with pytest.raises(NotSupportedNodeError):
            mount.create_file(b"/secret:x")
        with pytest.raises(NotSupportedNodeError):
            overlay.link(mount.ino(b"/streams:one"), ROOT_INO, b"x")
        with pytest.raises(NotSupportedNodeError):
            overlay.rename(ROOT_INO, b"streams:one", ROOT_INO, b"x", RenameMode.REPLACE)
        for make in (
            mount.make_directory,
            lambda path: overlay.make_symlink(ROOT_INO, path[1:], b"t", FILE),
        ):
            with pytest.raises(InvalidNameError):
                make(b"/what:ever")
        with pytest.raises(InvalidNameError):
            overlay.rename(ROOT_INO, b"a.txt", ROOT_INO, b"b:c", RenameMode.REPLACE)
        mount.make_directory(b"/trailing:")
        assert mount.has(b"/trailing:")

    def test_colons_are_ordinary_elsewhere(self, make_mount: Make) -> None:
        mount = make_mount(None)
        mount.create_file(b"/a:b", b"x")
        assert mount.read(b"/a:b") == b"x"


class TestNtfsNames:
    """``system.ntfs_`` attributes."""

    def get(self, mount: Mount, path: bytes, name: bytes) -> bytes:
        return mount.overlay.get_xattr(mount.ino(path), b"system.ntfs_" + name)

    def set(
        self,
        mount: Mount,
        path: bytes,
        name: bytes,
        value: bytes,
        mode: XattrMode = XattrMode.ANY,
    ) -> None:
        mount.overlay.set_xattr(mount.ino(path), b"system.ntfs_" + name, value, mode)
        mount.reopen()

    def test_attributes(self, mount: Mount) -> None:
        wanted = FileAttribute.HIDDEN | FileAttribute.READONLY | FileAttribute.ENCRYPTED
        self.set(mount, b"/a.txt", b"attrib", struct.pack("=I", wanted))
        hidden = FileAttribute.HIDDEN | FileAttribute.READONLY
        assert self.get(mount, b"/a.txt", b"attrib") == struct.pack("=I", hidden)
        self.set(mount, b"/a.txt", b"attrib_be", bytes(4))
        assert self.get(mount, b"/a.txt", b"attrib_be") == struct.pack(">I", FileAttribute.NORMAL)
        self.set(mount, b"/dir", b"attrib", struct.pack("=I", FileAttribute.COMPRESSED))
        both = FileAttribute.DIRECTORY | FileAttribute.COMPRESSED
        assert self.get(mount, b"/dir", b"attrib") == struct.pack("=I", both)
        assert self.get(mount, b"/empty", b"attrib") == struct.pack("=I", FileAttribute.ARCHIVE)

    def test_times(self, mount: Mount) -> None:
        self.set(mount, b"/a.txt", b"crtime", struct.pack("=Q", 1))
        self.set(mount, b"/a.txt", b"times_be", struct.pack(">3Q", 2, 3, 4))
        assert self.get(mount, b"/a.txt", b"times") == struct.pack("=4Q", 2, 3, 4, 3)
        assert self.get(mount, b"/a.txt", b"crtime_be") == struct.pack(">Q", 2)
        mount.write(mount.ino(b"/a.txt"), b"x")
        now = mount.overlay.attributes(mount.ino(b"/a.txt")).mtime_ns
        times = struct.unpack("=4Q", self.get(mount, b"/a.txt", b"times"))
        assert times == (2, ns_to_ticks(now), 4, ns_to_ticks(now))

    def test_short_names(self, mount: Mount) -> None:
        assert self.get(mount, b"/short name.txt", b"dos_name") == b"SHORTN~1.TXT"
        self.set(mount, b"/a.txt", b"dos_name", b"other.txt\0")
        assert self.get(mount, b"/a.txt", b"dos_name") == b"OTHER.TXT"
        for bad in (b"", b"much too long.txt", b"a.b.c", b"a b", b"CON", b"x.text"):
            with pytest.raises(UsageError):
                self.set(mount, b"/a.txt", b"dos_name", bad)
        for taken in (b"EMPTY", b"SHORTN~1.TXT"):
            with pytest.raises(NodeExistsError):
                self.set(mount, b"/a.txt", b"dos_name", taken)
        with pytest.raises(AttributeExistsError):
            self.set(mount, b"/a.txt", b"dos_name", b"x", XattrMode.CREATE)
        with pytest.raises(NoSuchAttributeError):
            self.set(mount, b"/empty", b"dos_name", b"x", XattrMode.REPLACE)
        mount.overlay.remove_xattr(mount.ino(b"/a.txt"), b"system.ntfs_dos_name")
        mount.overlay.remove_xattr(mount.ino(b"/short name.txt"), b"system.ntfs_dos_name")
        mount.reopen()
        for path in (b"/a.txt", b"/short name.txt"):
            with pytest.raises(NoSuchAttributeError):
                self.get(mount, path, b"dos_name")

    def test_object_ids_and_eas(self, mount: Mount) -> None:
        self.set(mount, b"/a.txt", b"object_id", bytes(range(20)))
        assert self.get(mount, b"/a.txt", b"object_id") == bytes(range(16))
        ea = struct.pack("<IBBH", 16, 0x80, 2, 4) + b"EA\0data" + b"\0"
        self.set(mount, b"/a.txt", b"ea", ea)
        assert self.get(mount, b"/a.txt", b"ea") == ea
        for name, value in ((b"object_id", bytes(15)), (b"ea", b"rubbish"), (b"attrib", b"1")):
            with pytest.raises(UsageError):
                self.set(mount, b"/a.txt", name, value)
        for name in (b"object_id", b"ea"):
            with pytest.raises(AttributeExistsError):
                self.set(mount, b"/a.txt", name, ea, XattrMode.CREATE)
            mount.overlay.remove_xattr(mount.ino(b"/a.txt"), b"system.ntfs_" + name)
            with pytest.raises(NoSuchAttributeError):
                self.get(mount, b"/a.txt", name)

    def test_security_descriptors(self, mount: Mount) -> None:
        descriptor = struct.pack("<BBHIIII", 1, 0, 0x8004, 20, 0, 0, 0) + bytes(12)
        assert self.get(mount, b"/short name.txt", b"acl") == bytes(20)
        with pytest.raises(NoSuchAttributeError):
            self.get(mount, b"/a.txt", b"acl")
        for path in (b"/a.txt", b"/short name.txt", b"/dir", b"/secret"):
            self.set(mount, path, b"acl", descriptor)
            assert self.get(mount, path, b"acl") == descriptor
        for bad in (b"", bytes(20), descriptor[:4] + b"\xff" * 4 + descriptor[8:]):
            with pytest.raises(UsageError):
                self.set(mount, b"/a.txt", b"acl", bad)

    def test_reparse_data_can_be_read_only(self, mount: Mount) -> None:
        ino = mount.overlay.make_symlink(ROOT_INO, b"new link", b"target", FILE)
        value = mount.overlay.get_xattr(ino, b"system.ntfs_reparse_data")
        assert value[:4] == struct.pack("<I", 0xA000000C)
        with pytest.raises(NotSupportedNodeError):
            self.set(mount, b"/a.txt", b"reparse_data", value)
        with pytest.raises(NotSupportedNodeError):
            mount.overlay.remove_xattr(ino, b"system.ntfs_reparse_data")

    def test_what_every_file_has_stays(self, mount: Mount) -> None:
        for name in (b"attrib", b"times", b"crtime", b"acl"):
            with pytest.raises(NotPermittedError):
                mount.overlay.remove_xattr(mount.ino(b"/a.txt"), b"system.ntfs_" + name)
        with pytest.raises(AttributeExistsError):
            self.set(mount, b"/a.txt", b"attrib", bytes(4), XattrMode.CREATE)
        with pytest.raises(NotSupportedNodeError):
            self.set(mount, b"/a.txt", b"unheard_of", b"")
