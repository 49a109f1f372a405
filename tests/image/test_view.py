from __future__ import annotations

import stat
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.image.fake_blobs import FakeBlobs
from tests.image.raw_metadata import (
    DIRECTORY,
    ENCRYPTED,
    JUNCTION_TAG,
    REPARSE,
    SYMLINK_TAG,
    Raw,
    build,
    directory,
    sha,
)
from wimtui.engine.errors import (
    AttributeTooLargeError,
    BlobHashError,
    CorruptResourceError,
    EncryptedNodeError,
    IsADirectoryNodeError,
    MissingBlobError,
    NameTooLongError,
    NoSuchAttributeError,
    NotADirectoryNodeError,
    NotALinkError,
    NotSupportedNodeError,
    ReparseDataError,
    StaleNodeError,
    StreamsDisabledError,
    WimError,
)
from wimtui.engine.image.blobs import EMPTY_SHA1
from wimtui.engine.image.metadata import ImageMetadata
from wimtui.engine.image.reparse import ReparseLink, ReparseTag, symlink_blob
from wimtui.engine.image.view import ImageView, StreamsInterface, ViewOptions
from wimtui.engine.timestamps import MAX_TICKS, ticks_to_ns
from wimtui.engine.tree import ROOT_INO, Ino, NodeAttributes, ReadTree

BLOBS = FakeBlobs()
HELLO = BLOBS.add(b"hello world")
STREAM = BLOBS.add(b"in a stream")
BIG = BLOBS.add(bytes(70_000))
RELATIVE = BLOBS.add(symlink_blob(b"a/b"))
FIXED_JUNCTION = BLOBS.add(ReparseLink(ReparseTag.MOUNT_POINT, "\\??\\C:\\x", "").pack())
BROKEN_LINK = BLOBS.add(b"broken")
LONG_LINK = BLOBS.add(ReparseLink(ReparseTag.SYMLINK, "\u20ac" * 4000, "", 1).pack())


def unix(uid: int, gid: int, mode: int, rdev: int = 0) -> bytes:
    return struct.pack("<II4I", 0x337DD873, 16, uid, gid, mode, rdev)


def view(*children: Raw, **options: object) -> ImageView:
    return view_of(directory("", *children), **options)


def view_of(root: Raw, **options: object) -> ImageView:
    chosen = ViewOptions(**options)  # type: ignore[arg-type]
    return ImageView(ImageMetadata.parse(build(root)), BLOBS, chosen)


def node(tree: ImageView, name: str, parent: Ino = ROOT_INO) -> Ino:
    found = tree.lookup(parent, name.encode())
    assert found is not None
    return found


def stat_of(tree: ImageView, name: str) -> NodeAttributes:
    ino = node(tree, name)
    first = tree.attributes(ino)
    assert tree.attributes(ino) == first
    assert isinstance(first, NodeAttributes)
    assert first.ino == ino
    return first


def test_it_is_a_read_tree() -> None:
    tree: ReadTree = view()
    assert tree.list_directory(ROOT_INO) == []
    assert tree.parent(ROOT_INO) == ROOT_INO


def test_names_and_parents() -> None:
    tree = view(directory("d", Raw("x")), Raw("f"))
    assert tree.list_directory(ROOT_INO) == [(b"d", 2), (b"f", 4)]
    assert tree.parent(Ino(2)) == 1
    assert tree.parent(Ino(3)) == 2
    assert tree.lookup(ROOT_INO, b"none") is None
    with pytest.raises(NotADirectoryNodeError):
        tree.lookup(Ino(4), b"x")
    with pytest.raises(NotADirectoryNodeError):
        tree.list_directory(Ino(4))
    for ask in (tree.attributes, tree.list_directory, tree.parent, tree.open_file):
        for ino in (0, -1, 5, 2**40):
            with pytest.raises(StaleNodeError):
                ask(Ino(ino))
    with pytest.raises(StaleNodeError):
        tree.lookup(Ino(99), b"x")


def test_ignoring_case() -> None:
    assert view(Raw("File")).lookup(ROOT_INO, b"fILE") is None
    assert view(Raw("File"), ignore_case=True).lookup(ROOT_INO, b"fILE") == 2


def test_stat_of_files() -> None:
    tree = view(
        Raw("f", sha1=HELLO), Raw("empty"), Raw("missing", sha1=sha(1)),
        Raw("emptysha", sha1=EMPTY_SHA1), directory("d"),
        Raw("a", group=1, sha1=HELLO), Raw("b", group=1, sha1=HELLO), uid=7, gid=8,
    )  # fmt: skip
    found = stat_of(tree, "f")
    assert (found.mode, found.nlink, found.uid, found.gid) == (stat.S_IFREG | 0o777, 1, 7, 8)
    assert (found.size, found.blocks, found.rdev) == (11, 1, 0)
    assert stat_of(tree, "empty")[6:8] == (0, 0)
    assert stat_of(tree, "missing")[6:8] == (0, 0)
    assert stat_of(tree, "emptysha")[6:8] == (0, 0)
    assert stat_of(tree, "d")[1:3] == (stat.S_IFDIR | 0o777, 1)
    assert stat_of(tree, "a").nlink == 2
    assert node(tree, "a") == node(tree, "b")


def test_masks() -> None:
    children = [Raw("f"), directory("d"), Raw("l", REPARSE, sha1=RELATIVE, tag=SYMLINK_TAG)]
    tree = view(*children, umask=0o027)
    assert [stat_of(tree, name).mode & 0o7777 for name in "fdl"] == [0o750, 0o750, 0o777]
    tree = view(*children, umask=0o027, fmask=0o133, dmask=0o022)
    assert [stat_of(tree, name).mode & 0o7777 for name in "fd"] == [0o644, 0o755]


@given(st.one_of(st.integers(0, 2**64 - 1), st.integers(10**16, 3 * 10**17)))
def test_times_are_exact(ticks: int) -> None:
    found = view(Raw("f", times=(0, ticks, 5))).attributes(Ino(2))
    assert found.atime_ns == ticks_to_ns(ticks)
    assert found.mtime_ns == found.ctime_ns == ticks_to_ns(5)


def test_extreme_times() -> None:
    found = view(Raw("f", times=(0, 2**64 - 1, 0))).attributes(Ino(2))
    assert found.mtime_ns == -11644473600 * 10**9
    assert found.atime_ns == ticks_to_ns(MAX_TICKS)


def test_unix_data() -> None:
    fifo, char, socket = stat.S_IFIFO | 0o600, stat.S_IFCHR | 0o620, stat.S_IFSOCK | 0o755
    children = [
        Raw("f", tagged=unix(1000, 100, stat.S_IFREG | 0o4755), sha1=HELLO),
        Raw("p", tagged=unix(0, 0, fifo)),
        Raw("c", tagged=unix(0, 5, char, 0x0501)),
        Raw("s", tagged=unix(0, 0, socket)),
        Raw("none"),
        directory("d", tagged=unix(1, 2, stat.S_IFDIR | 0o1777)),
        Raw("liar", tagged=unix(0, 0, stat.S_IFDIR | 0o700)),
        Raw("l", REPARSE, sha1=RELATIVE, tag=SYMLINK_TAG, tagged=unix(3, 4, 0o120777)),
    ]
    tree = view(*children, unix_data=True, uid=9, umask=0o22)
    found = stat_of(tree, "f")
    assert (found.uid, found.gid, found.mode) == (1000, 100, stat.S_IFREG | 0o4755)
    assert stat_of(tree, "p").mode == fifo
    assert (stat_of(tree, "c").mode, stat_of(tree, "c").rdev) == (char, 0x0501)
    assert stat_of(tree, "s").mode == socket
    assert (stat_of(tree, "none").uid, stat_of(tree, "none").mode) == (9, stat.S_IFREG | 0o755)
    assert stat_of(tree, "d").mode == stat.S_IFDIR | 0o1777
    assert stat_of(tree, "liar").mode == stat.S_IFREG | 0o700
    assert stat_of(tree, "l")[1:5] == (stat.S_IFLNK | 0o777, 1, 3, 4)
    hidden = view(*children)
    assert stat_of(hidden, "f")[3:5] == (0, 0)
    assert stat_of(hidden, "p").mode == stat.S_IFREG | 0o777


@pytest.mark.parametrize("kind", [CorruptResourceError, BlobHashError])
def test_the_size_of_a_link_that_does_not_decode_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, kind: type[WimError]
) -> None:
    asked = []

    def fail(sha1: bytes, max_size: int) -> bytes:
        asked.append((sha1, max_size))
        raise kind("corrupt")

    tree = view(Raw("rel", REPARSE, tag=SYMLINK_TAG, rp_flags=1, sha1=RELATIVE))
    link = node(tree, "rel")
    monkeypatch.setattr(BLOBS, "read_all", fail)
    assert [tree.attributes(link).size for _ in range(3)] == [0, 0, 0]
    assert len(asked) == 1
    with pytest.raises(kind):
        tree.read_link(link)


def test_links() -> None:
    tree = view(
        Raw("rel", REPARSE, sha1=RELATIVE, tag=SYMLINK_TAG, rp_flags=1),
        Raw("jun", DIRECTORY | REPARSE, sha1=FIXED_JUNCTION, tag=JUNCTION_TAG),
        Raw("broken", REPARSE, sha1=BROKEN_LINK, tag=SYMLINK_TAG),
        Raw("missing", REPARSE, sha1=sha(1), tag=SYMLINK_TAG),
        Raw("huge", REPARSE, sha1=BIG, tag=SYMLINK_TAG),
        Raw("long", REPARSE, sha1=LONG_LINK, tag=SYMLINK_TAG),
        Raw("void", REPARSE, tag=SYMLINK_TAG),
        Raw("f"), mount_root=b"/mnt/point",
    )  # fmt: skip
    assert tree.read_link(node(tree, "rel")) == b"a/b"
    assert tree.read_link(node(tree, "jun")) == b"/mnt/point/x"
    assert stat_of(tree, "rel")[6] == 3
    assert stat_of(tree, "jun")[1] == stat.S_IFLNK | 0o777
    assert stat_of(tree, "jun")[6] == 12
    for name, error in (
        ("broken", ReparseDataError), ("missing", MissingBlobError), ("huge", ReparseDataError),
        ("long", NameTooLongError), ("void", ReparseDataError), ("f", NotALinkError),
    ):  # fmt: skip
        with pytest.raises(error):
            tree.read_link(node(tree, name))
        assert stat_of(tree, name).size == 0
    with pytest.raises(NotSupportedNodeError):
        tree.open_file(node(tree, "rel"))
    with pytest.raises(NotADirectoryNodeError):
        tree.list_directory(node(tree, "jun"))
    with pytest.raises(NotADirectoryNodeError):
        tree.lookup(node(tree, "jun"), b"x")


def test_opaque_reparse_points() -> None:
    wof = 0x80000017
    tree = view(
        Raw("file", REPARSE, tag=wof, extras=[("", RELATIVE), ("", HELLO)]),
        Raw("bare", REPARSE, tag=wof, sha1=RELATIVE),
        Raw("dir", DIRECTORY | REPARSE, tag=0x80000013, sha1=RELATIVE),
    )
    assert stat_of(tree, "file")[6] == 11
    assert tree.open_file(node(tree, "file")).read(0, 99) == b"hello world"
    assert stat_of(tree, "bare")[1] == stat.S_IFREG | 0o777
    assert tree.open_file(node(tree, "bare")).read(0, 99) == b""
    assert stat.S_ISDIR(stat_of(tree, "dir").mode)
    assert tree.list_directory(node(tree, "dir")) == []
    assert tree.lookup(node(tree, "dir"), b"x") is None
    with pytest.raises(IsADirectoryNodeError):
        tree.open_file(node(tree, "dir"))


def test_opening() -> None:
    tree = view(Raw("f", sha1=HELLO), Raw("empty"), Raw("efs", ENCRYPTED, sha1=HELLO),
                Raw("missing", sha1=sha(3)), Raw("emptysha", sha1=EMPTY_SHA1))  # fmt: skip
    assert tree.open_file(node(tree, "f")).read(6, 5) == b"world"
    for name in ("empty", "emptysha"):
        handle = tree.open_file(node(tree, name))
        assert handle.read(0, 10) == handle.read_nowait(0, 10) == b""
        handle.close()
    with pytest.raises(EncryptedNodeError, match="/efs is encrypted"):
        tree.open_file(node(tree, "efs"))
    assert stat_of(tree, "efs").size == 0
    with pytest.raises(MissingBlobError, match=r"the data of /missing .*--ref"):
        tree.open_file(node(tree, "missing"))
    with pytest.raises(IsADirectoryNodeError):
        tree.open_file(ROOT_INO)


def with_streams() -> list[Raw]:
    return [
        Raw("f", sha1=HELLO, extras=[("s", STREAM), ("S", HELLO), ("big", BIG), ("void", sha(0))]),
        directory("d", extras=[("ds", STREAM)]),
        Raw("l", REPARSE, tag=SYMLINK_TAG, extras=[("", RELATIVE), ("", bytes(20)), ("x", STREAM)]),
        Raw("literal:colon", sha1=HELLO),
        Raw("g1", group=3, sha1=HELLO, extras=[("gs", STREAM)]),
        Raw("g2", group=3, sha1=HELLO, extras=[("gs", STREAM)]),
        Raw("odd", extras=[("n\0l", STREAM), ("x" * 251, STREAM), ("y" * 250, STREAM)]),
    ]


def test_streams_as_extended_attributes() -> None:
    tree = view_of(directory("", *with_streams(), extras=[("root", STREAM)]))
    f = node(tree, "f")
    assert tree.list_xattrs(f) == [b"user.s", b"user.S", b"user.big", b"user.void"]
    assert tree.get_xattr(f, b"user.s") == b"in a stream"
    assert tree.get_xattr(f, b"user.S") == b"hello world"
    assert tree.get_xattr(f, b"user.VOID") == b""
    with pytest.raises(AttributeTooLargeError):
        tree.get_xattr(f, b"user.big")
    for name in (b"user.", b"user.none", b"security.selinux", b"s", b"user.\xff"):
        with pytest.raises(NoSuchAttributeError):
            tree.get_xattr(f, name)
    assert tree.list_xattrs(node(tree, "d")) == [b"user.ds"]
    assert tree.list_xattrs(ROOT_INO) == [b"user.root"]
    assert tree.get_xattr(ROOT_INO, b"user.root") == b"in a stream"
    assert tree.list_xattrs(node(tree, "l")) == []
    assert tree.get_xattr(node(tree, "g2"), b"user.gs") == b"in a stream"
    assert tree.list_xattrs(node(tree, "odd")) == [b"user." + b"y" * 250]
    assert tree.lookup(ROOT_INO, b"f:s") is None


def test_streams_as_windows_paths() -> None:
    tree = view(*with_streams(), streams=StreamsInterface.WINDOWS, umask=0o22)
    inodes = tree.metadata.columns.inode_count
    stream = node(tree, "f:s")
    assert stream > inodes
    assert stream == node(tree, "f:s:$DATA") == node(tree, "f:s:$data")
    assert node(tree, "f:S") != stream
    assert node(tree, "f:BIG") == node(tree, "f:big")
    assert node(tree, "f::$DATA") == node(tree, "f")
    assert node(tree, "literal:colon") <= inodes
    assert node(tree, "g1:gs") == node(tree, "g2:gs")
    for name in (b"f:", b"f:none", b"none:s", b":s", b"f:s:$INDEX", b"d::$DATA", b"f:s:"):
        assert tree.lookup(ROOT_INO, name) is None
    found = tree.attributes(stream)
    assert (found.ino, found.mode, found.size) == (stream, stat.S_IFREG | 0o755, 11)
    assert found.mtime_ns == tree.attributes(node(tree, "f")).mtime_ns
    assert tree.open_file(stream).read(0, 99) == b"in a stream"
    of_directory = node(tree, "d:ds")
    assert stat.S_ISREG(tree.attributes(of_directory).mode)
    assert tree.open_file(of_directory).read(0, 2) == b"in"
    assert tree.open_file(node(tree, "f:void")).read(0, 9) == b""
    for ask in (tree.list_directory, tree.read_link):
        with pytest.raises((NotADirectoryNodeError, NotALinkError)):
            ask(stream)
    with pytest.raises(NotADirectoryNodeError):
        tree.lookup(stream, b"x")
    with pytest.raises(StreamsDisabledError):
        tree.list_xattrs(node(tree, "f"))


def test_no_streams() -> None:
    tree = view(*with_streams(), streams=StreamsInterface.NONE)
    with pytest.raises(StreamsDisabledError):
        tree.list_xattrs(node(tree, "f"))
    with pytest.raises(StreamsDisabledError):
        tree.get_xattr(node(tree, "f"), b"user.s")
    assert tree.lookup(ROOT_INO, b"f:s") is None
    assert len(tree.get_xattr(node(tree, "f"), b"system.ntfs_attrib")) == 4


def test_usage() -> None:
    tree = view(Raw("a", sha1=BIG, group=1), Raw("b", sha1=BIG, group=1), directory("d"))
    usage = tree.usage()
    assert (usage.block_size, usage.blocks, usage.blocks_free) == (4096, 18, 0)
    assert (usage.files, usage.name_max) == (3, 255)
