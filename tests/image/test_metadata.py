from __future__ import annotations

import struct

import pytest

from tests.image.fake_blobs import FakeBlobs
from tests.image.raw_metadata import (
    DIRECTORY,
    ENCRYPTED,
    REPARSE,
    Raw,
    build,
    directory,
    security_data,
    sha,
)
from wimtui.engine.errors import MetadataError
from wimtui.engine.image.metadata import ImageMetadata, WarningKind

# The 560 metadata bytes of a WIM with a.txt, an empty directory d and a symlink l -> a.txt.
VECTOR = bytes.fromhex(
    """
0800000000000000680000000000000010000000ffffffff78000000000000000000000000000000000000000000
00000000056936c0d5010000056936c0d5010000056936c0d5010000000000000000000000000000000000000000
00000000000000000000000000000000000000000000000000000000780000000000000080000000ffffffff0000
000000000000000000000000000000000000000000000000056936c0d5010000056936c0d5010000056936c0d501
aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d000000000000000000000000000000000a0061002e0074007800
74000000000000000000700000000000000010000000ffffffff2802000000000000000000000000000000000000
000000000000056936c0d5010000056936c0d5010000056936c0d501000000000000000000000000000000000000
000000000000000000000000000000000000020064000000000000000000700000000000000000040000ffffffff
0000000000000000000000000000000000000000000000000000056936c0d5010000056936c0d5010000056936c0
d5010000000000000000000000000000000000000000000000000c0000a0000001000200000002006c0000000000
000000002800000000000000000000000000000092404143ce17f17f8a863eed8a65bdebed60a2ff000000002800
00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
0000000000000000
"""
)


def parse(root: Raw, security: bytes | None = None) -> ImageMetadata:
    return ImageMetadata.parse(build(root, security))


def paths(metadata: ImageMetadata) -> list[str]:
    return [path.decode("utf-8", "surrogatepass") for _, path in metadata.walk()]


def warned(metadata: ImageMetadata) -> dict[WarningKind, int]:
    return {warning.kind: warning.count for warning in metadata.warnings()}


def test_vector_of_the_specification() -> None:
    assert len(VECTOR) == 560
    metadata = ImageMetadata.parse(VECTOR)
    columns = metadata.columns
    assert paths(metadata) == ["/", "/a.txt", "/d", "/l"]
    assert [columns.offset_in_metadata(dentry) for dentry in range(4)] == [8, 120, 240, 352]
    assert columns.content_sha1(1).hex().startswith("aaf4c61d")
    assert columns.content_sha1(3).hex().startswith("92404143")
    assert columns.reparse_fields(3) == (0xA000000C, 0, 1)
    assert columns.times(1) == (132223104000000000,) * 3
    assert not metadata.warnings()


def test_walk_find_and_path() -> None:
    root = directory("", directory("b", directory("c", Raw("x")), Raw("y")), Raw("a"))
    metadata = parse(root)
    assert paths(metadata) == ["/", "/a", "/b", "/b/c", "/b/c/x", "/b/y"]
    for dentry, path in metadata.walk():
        assert metadata.path(dentry) == path
        assert metadata.find(path) == dentry
    assert metadata.find(b"b\\c\\x") == metadata.find(b"/b/c/x") == metadata.find(b"b//c/x/")
    assert metadata.find(b"B/C/X") is None
    assert metadata.find(b"B/C/X", ignore_case=True) == metadata.find(b"b/c/x")
    assert metadata.find(b"a/x") is None
    below = metadata.find(b"b/c")
    assert below is not None
    assert [path for _, path in metadata.walk(below)] == [b"/b/c", b"/b/c/x"]
    assert [path for _, path in metadata.walk(1)] == [b"/a"]


def test_inode_numbers_follow_preorder() -> None:
    columns = parse(directory("", directory("b", Raw("x")), Raw("a"), Raw("c"))).columns
    assert [columns.ino(dentry) for dentry in range(columns.dentry_count)] == [1, 2, 3, 5, 4]
    assert [columns.first_dentry(ino) for ino in range(1, 6)] == [0, 1, 2, 4, 3]


def test_any_order_of_siblings_is_accepted() -> None:
    names = ["zeta", "Alpha", "beta", "alpha2", "_", "Z", "b" * 300]
    metadata = parse(directory("", *map(Raw, names)))
    listed = [path[1:] for path in paths(metadata)[1:]]
    assert listed == ["Alpha", "alpha2", "b" * 300, "beta", "Z", "zeta", "_"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (".", WarningKind.NAME_DOTS),
        ("..", WarningKind.NAME_DOTS),
        ("", WarningKind.NAME_EMPTY),
        ("a\0b", WarningKind.NAME_NUL),
    ],
)
def test_forbidden_names_vanish_with_their_subtree(name: str, kind: WarningKind) -> None:
    root = directory("", Raw("a"), directory("sub", directory(name, Raw("x")), Raw("kept")))
    metadata = parse(root)
    assert paths(metadata) == ["/", "/a", "/sub", "/sub/kept"]
    (warning,) = metadata.warnings()
    assert (warning.kind, warning.count, warning.directories) == (kind, 1, (b"/sub",))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a/b", WarningKind.NAME_SLASH), ("\u20ac" * 342, WarningKind.NAME_TOO_LONG)],
)
def test_names_that_linux_cannot_hold_are_hidden(name: str, kind: WarningKind) -> None:
    metadata = parse(directory("", Raw("x"), directory(name, Raw("inside"))))
    columns = metadata.columns
    assert columns.list_children(0) == [(b"x", columns.ino(columns.lookup(0, b"x")))]
    assert columns.lookup(0, name.encode()) == -1
    assert columns.dentry_count == 4
    assert warned(metadata) == {kind: 1}


def test_long_names() -> None:
    metadata = parse(directory("", Raw("\u4e00" * 255), Raw("n" * 32767)))
    assert metadata.columns.lookup(0, ("\u4e00" * 255).encode()) > 0
    assert len(paths(metadata)) == 3


def test_exact_duplicates_keep_the_first() -> None:
    root = directory("", Raw("b", sha1=sha(9)), Raw("a", sha1=sha(1)), Raw("A"),
                     Raw("a", sha1=sha(2)), directory("a", Raw("lost")))  # fmt: skip
    metadata = parse(root)
    assert paths(metadata) == ["/", "/A", "/a", "/b"]
    assert metadata.columns.content_sha1(2) == sha(1)
    assert warned(metadata) == {WarningKind.NAME_DUPLICATE: 2}


def test_short_names() -> None:
    metadata = parse(directory("", Raw("long name.txt", short_name="LONGNA~1.TXT"), Raw("x")))
    assert metadata.columns.short_name(1) == b"LONGNA~1.TXT"
    assert metadata.columns.name(1) == b"long name.txt"
    assert metadata.columns.short_name(2) == b""
    only_short = parse(directory("", Raw("", short_name="SHORT")))
    assert warned(only_short) == {WarningKind.NAME_EMPTY: 1}


@pytest.mark.parametrize("offset", [None, 0])
def test_empty_directories(offset: int | None) -> None:
    metadata = parse(directory("", directory("d", subdir_offset=offset)))
    assert metadata.columns.list_children(1) == []
    assert not metadata.warnings()


def test_empty_directories_may_share_an_end_marker() -> None:
    root = directory("", directory("a"), directory("b"))
    build(root)
    data = bytearray(build(root))
    (offset,) = struct.unpack_from("<Q", data, root.children[0].offset + 16)  # type: ignore[index]
    struct.pack_into("<Q", data, root.children[1].offset + 16, offset)  # type: ignore[index]
    assert ImageMetadata.parse(data).columns.dentry_count == 3


@pytest.mark.parametrize("marker", range(9))
def test_end_marker_of_any_length_up_to_8(marker: int) -> None:
    data = bytearray(build(directory("", Raw("a"))))
    struct.pack_into("<Q", data, len(data) - 8, marker)
    assert ImageMetadata.parse(data).columns.dentry_count == 2


def test_empty_image_gets_a_root() -> None:
    metadata = ImageMetadata.parse(security_data() + bytes(8))
    assert paths(metadata) == ["/"]
    assert metadata.columns.attributes(0) == DIRECTORY
    assert metadata.columns.security_id(0) == -1
    assert warned(metadata) == {WarningKind.ROOT_MISSING: 1}


def test_root_may_be_named_with_a_warning() -> None:
    metadata = parse(directory("root", Raw("a"), short_name="R"))
    assert metadata.columns.name(0) == b""
    assert paths(metadata) == ["/", "/a"]
    assert warned(metadata) == {WarningKind.ROOT_NAMED: 1}


@pytest.mark.parametrize("attributes", [0x80, REPARSE, DIRECTORY | REPARSE])
def test_root_must_be_a_plain_directory(attributes: int) -> None:
    with pytest.raises(MetadataError, match=r"root dentry at offset 8 .* no plain directory"):
        parse(Raw("", attributes))


def test_children_of_files_and_of_directory_reparse_points_are_ignored() -> None:
    children = [Raw("x")]
    root = directory("", Raw("f", 0x80, children), Raw("r", DIRECTORY | REPARSE, children[:]))
    metadata = parse(root)
    assert paths(metadata) == ["/", "/f", "/r"]
    assert warned(metadata) == {WarningKind.CHILDREN_IGNORED: 2}


def test_security_ids() -> None:
    root = directory("", Raw("a", security_id=1), Raw("b", security_id=2), Raw("c", security_id=-2))
    metadata = parse(root, security_data(b"one", b"two22"))
    columns = metadata.columns
    assert [columns.security_id(dentry) for dentry in range(4)] == [-1, 1, -1, -1]
    assert metadata.security.descriptor(1) == b"two22"
    assert warned(metadata) == {WarningKind.SECURITY_ID: 2}


def test_unknown_field_and_tagged_items_are_kept() -> None:
    item = struct.pack("<II", 0x12345678, 5) + b"hello\0\0\0"
    root = directory("", Raw("a", unknown=7, tagged=item), Raw("b", tagged=bytes(16)))
    columns = parse(root).columns
    assert columns.unknown_0x54(1) == 7
    assert columns.tagged_items(1) == item
    assert columns.tagged_items(2) == b""
    assert not columns.has_side(2)


def test_unrounded_lengths_are_accepted() -> None:
    root = directory("", Raw("ab", length=102 + 6), Raw("c"))
    assert paths(parse(root)) == ["/", "/ab", "/c"]


def test_counters() -> None:
    blobs = FakeBlobs()
    data, stream, link = (blobs.add(bytes(size)) for size in (10, 3, 20))
    root = directory(
        "",
        Raw("a", sha1=data, group=5, extras=[("s", stream)]),
        Raw("b", sha1=data, group=5),
        directory("d", extras=[("s", stream)]),
        Raw("l", REPARSE, sha1=link, tag=0xA000000C),
        Raw("m", sha1=sha(99)),
        Raw("e", ENCRYPTED, sha1=data),
    )
    counters = parse(root).counters(blobs)
    assert counters.directory_count == 2
    assert counters.file_count == 5
    assert counters.total_nbytes == 2 * 13 + 3 + 20 + 10
    assert counters.hard_link_nbytes == 13
