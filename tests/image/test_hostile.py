"""Malformed metadata: typed errors that name structure and offset, in bounded time and memory."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.image.fake_blobs import FakeBlobs
from tests.image.raw_metadata import (
    DIRECTORY,
    ENCRYPTED,
    REPARSE,
    SYMLINK_TAG,
    Raw,
    build,
    directory,
    security_data,
    sha,
    stream_entry,
)
from wimtui.engine.errors import LimitError, MetadataError, WimError
from wimtui.engine.image.details import file_details
from wimtui.engine.image.metadata import ImageMetadata
from wimtui.engine.image.metadata_writer import ImageNodes, write_metadata
from wimtui.engine.image.view import ImageView, StreamsInterface, ViewOptions
from wimtui.engine.tree import Ino

if TYPE_CHECKING:
    from collections.abc import Callable


def small_tree() -> Raw:
    return directory(
        "",
        Raw("a.txt", sha1=sha(1), extras=[("stream", sha(2)), ("", sha(3))], short_name="A~1"),
        directory("d", Raw("x", group=7, sha1=sha(4)), Raw("y", group=7, sha1=sha(4))),
        Raw("l", REPARSE, tag=SYMLINK_TAG, extras=[("", sha(5)), ("", sha(6))]),
        Raw("e", ENCRYPTED, sha1=sha(7)),
        Raw("t", tagged=struct.pack("<IIIIII", 0x337DD873, 16, 0, 0, 0o100644, 0)),
    )


def broken(change: Callable[[bytearray, Raw], None], tree: Raw | None = None) -> str:
    root = small_tree() if tree is None else tree
    data = bytearray(build(root))
    change(data, root)
    with pytest.raises(MetadataError) as caught:
        ImageMetadata.parse(data)
    return str(caught.value)


def child(root: Raw, *path: int) -> Raw:
    for index in path:
        assert root.children is not None
        root = root.children[index]
    return root


def put(fmt: str, data: bytearray, offset: int, value: int) -> None:
    struct.pack_into(fmt, data, offset, value)


@pytest.mark.parametrize("data", [b"", b"\x08\0\0\0", bytes(7)])
def test_too_short_for_security_data(data: bytes) -> None:
    with pytest.raises(MetadataError, match="security data at offset 0"):
        ImageMetadata.parse(data)


@pytest.mark.parametrize(
    ("total", "count", "sizes"),
    [(1000, 0, []), (8, 1, []), (16, 1, [1]), (24, 1, [2**64 - 1]), (32, 2, [9, 2**63])],
)
def test_inconsistent_security_data(total: int, count: int, sizes: list[int]) -> None:
    data = struct.pack(f"<II{len(sizes)}Q", total, count, *sizes) + bytes(100)
    with pytest.raises(MetadataError, match="security data at offset 0"):
        ImageMetadata.parse(data)


def test_enormous_descriptor_count() -> None:
    with pytest.raises(MetadataError, match="4294967295 descriptors"):
        ImageMetadata.parse(struct.pack("<II", 16, 0xFFFFFFFF) + bytes(200))


def test_millions_of_empty_descriptors() -> None:
    count = 2**22 + 1
    with pytest.raises(LimitError):
        ImageMetadata.parse(struct.pack("<II", 8 + 8 * count, count) + bytes(8 * count))


def test_metadata_ends_before_the_root() -> None:
    with pytest.raises(MetadataError, match="root dentry at offset 8"):
        ImageMetadata.parse(security_data())


@pytest.mark.parametrize("cut", range(1, 200, 3))
def test_every_truncation_is_refused(cut: int) -> None:
    data = build(directory("", Raw("a", extras=[("s", sha(1))])))
    with pytest.raises(MetadataError):
        ImageMetadata.parse(data[: len(data) - cut])


@pytest.mark.parametrize("length", [9, 103, 2**31, 2**63, 2**64 - 1, 2**64 - 7])
def test_impossible_dentry_length(length: int) -> None:
    text = broken(lambda data, root: put("<Q", data, child(root, 0).offset, length))
    assert f"dentry at offset {build_offset(0)} of the metadata resource" in text


def build_offset(index: int) -> int:
    root = small_tree()
    build(root)
    return child(root, index).offset


@pytest.mark.parametrize(("offset", "value"), [(98, 1), (100, 3), (100, 0xFFFE), (98, 0xFFFE)])
def test_impossible_name_length(offset: int, value: int) -> None:
    text = broken(lambda data, root: put("<H", data, child(root, 0).offset + offset, value))
    assert "name" in text
    assert str(build_offset(0)) in text


@pytest.mark.parametrize(
    ("fmt", "offset", "value"),
    [("<Q", 0, 0), ("<Q", 0, 30), ("<Q", 0, 2**64 - 1), ("<Q", 0, 2**40), ("<H", 36, 13),
     ("<H", 36, 0xFFFE)],
)  # fmt: skip
def test_impossible_stream_entry(fmt: str, offset: int, value: int) -> None:
    def change(data: bytearray, root: Raw) -> None:
        put(fmt, data, child(root, 0).offset + len(child(root, 0).head()) + offset, value)

    assert "stream entry at offset" in broken(change)


def test_stream_count_beyond_the_end() -> None:
    assert broken(lambda data, root: put("<H", data, child(root, 4).offset + 96, 0xFFFF))


@pytest.mark.parametrize("offset", [2**63, 2**64 - 1, 100_000])
def test_child_list_outside(offset: int) -> None:
    text = broken(lambda data, root: put("<Q", data, child(root, 1).offset + 16, offset))
    assert f"dentry at offset {build_offset(1)}" in text


def test_missing_end_marker() -> None:
    data = build(directory("", Raw("a")))
    with pytest.raises(MetadataError, match="no end marker"):
        ImageMetadata.parse(data[:-8])


def test_shared_child_list() -> None:
    tree = directory("", directory("a", Raw("x")), directory("b", Raw("y")))

    def share(data: bytearray, root: Raw) -> None:
        (offset,) = struct.unpack_from("<Q", data, child(root, 0).offset + 16)
        put("<Q", data, child(root, 1).offset + 16, offset)

    assert "shared, overlapping or cyclic" in broken(share, tree)


def test_exponential_sharing_is_refused_at_once() -> None:
    levels = 60
    tree = directory("")
    for _ in range(levels):
        tree = directory("", directory("a", *(tree.children or [])), directory("b"))

    def share(data: bytearray, root: Raw) -> None:
        node = root
        while node.children:
            first, second = node.children
            (offset,) = struct.unpack_from("<Q", data, first.offset + 16)
            put("<Q", data, second.offset + 16, offset)
            node = first

    assert "shared" in broken(share, tree)


def test_overlapping_child_list() -> None:
    tree = directory("", directory("a", Raw("x"), Raw("y")), directory("b"))
    middle = "it overlaps another"
    assert middle in broken(
        lambda data, root: put("<Q", data, child(root, 1).offset + 16, child(root, 0, 1).offset),
        tree,
    )


@pytest.mark.parametrize("target", [0, 1])
def test_cycles(target: int) -> None:
    tree = directory("", directory("a", directory("b", Raw("x"))))

    def close(data: bytearray, root: Raw) -> None:
        inner = child(root, 0, 0)
        put("<Q", data, inner.offset + 16, (child(root, 0) if target else inner).offset)

    assert "cyclic" in broken(close, tree)


def test_unaligned_child_list() -> None:
    tree = directory("", directory("a"), subdir_offset=0)
    data = bytearray(build(tree))
    put("<Q", data, tree.offset + 16, len(data) + 3)
    data += bytes(3) + Raw("x").pack() + bytes(8)
    assert ImageMetadata.parse(data).columns.dentry_count == 2


@pytest.mark.parametrize("shift", range(1, 8))
def test_unaligned_child_list_of_many(shift: int) -> None:
    names = [f"name {number:03}" for number in range(50)]
    tree = directory("", subdir_offset=0)
    data = bytearray(build(tree))
    put("<Q", data, tree.offset + 16, len(data) + shift)
    data += bytes(shift) + b"".join(Raw(name).pack() for name in names) + bytes(8)
    columns = ImageMetadata.parse(data).columns
    assert [columns.name(dentry).decode() for dentry in range(1, 51)] == names


@pytest.mark.parametrize("shift", range(1, 8))
def test_unaligned_child_lists_cannot_share(shift: int) -> None:
    tree = directory("", directory("a"), directory("b"))
    data = bytearray(build(tree))
    for number in (0, 1):
        put("<Q", data, child(tree, number).offset + 16, len(data) + shift)
    data += bytes(shift) + Raw("x").pack() + Raw("y").pack() + bytes(8)
    with pytest.raises(MetadataError, match="shared, overlapping or cyclic"):
        ImageMetadata.parse(data)


def nested(levels: int) -> bytes:
    """A chain of directories below the root."""
    data = bytearray(build(directory("")))
    put("<Q", data, 8 + 16, len(data))
    for _ in range(levels):
        start = len(data)
        data += directory("d").pack() + bytes(8)
        put("<Q", data, start + 16, len(data))
    return bytes(data + bytes(8))


def test_depth_limit() -> None:
    metadata = ImageMetadata.parse(nested(16383))
    assert metadata.columns.dentry_count == 16384
    assert sum(1 for _ in metadata.walk()) == 16384
    with pytest.raises(MetadataError, match="nested more than 16,383 deep"):
        ImageMetadata.parse(nested(16384))


def test_deep_trees_of_long_names_can_be_walked() -> None:
    data = bytearray(build(directory("")))
    put("<Q", data, 8 + 16, len(data))
    for _ in range(300):
        start = len(data)
        data += directory("n" * 200).pack() + bytes(8)
        put("<Q", data, start + 16, len(data))
    metadata = ImageMetadata.parse(data + bytes(8))
    lengths = [len(path) for _, path in metadata.walk()]
    assert lengths == [1, *(201 * level for level in range(1, 301))]


def test_many_streams_of_one_name() -> None:
    extras = [("same", sha(index)) for index in range(60_000)]
    metadata = ImageMetadata.parse(build(directory("", Raw("f", extras=extras))))
    assert metadata.columns.stream_count == 1
    distinct = [(f"s{index}", sha(index)) for index in range(60_000)]
    metadata = ImageMetadata.parse(build(directory("", Raw("f", extras=distinct))))
    assert metadata.columns.stream_range(1) == (0, 60_000)


def test_many_members_of_one_hard_link_group_with_different_data() -> None:
    files = [Raw(f"{index:06}", group=1, sha1=sha(index + 1)) for index in range(20_000)]
    metadata = ImageMetadata.parse(build(directory("", *files)))
    assert metadata.columns.inode_count == 20_001


def exercise(metadata: ImageMetadata, interface: StreamsInterface) -> None:
    """Ask everything; only typed errors may come out."""
    blobs = FakeBlobs()
    view = ImageView(metadata, blobs, ViewOptions(streams=interface, unix_data=True))
    metadata.warnings()
    metadata.counters(blobs)
    for dentry, path in metadata.walk():
        assert metadata.path(dentry) == path
        file_details(metadata, dentry)
    for number in range(1, metadata.columns.inode_count + metadata.columns.stream_count + 3):
        ino = Ino(number)
        questions: tuple[Callable[[Ino], object], ...] = (
            view.attributes,
            view.list_directory,
            view.parent,
            view.read_link,
            view.open_file,
            view.list_xattrs,
        )
        for ask in questions:
            try:
                ask(ino)
            except WimError:
                continue
    try:
        nodes = ImageNodes(metadata)
        write_metadata(nodes.root(), metadata.security.raw, nodes.children)
    except WimError:
        pass


BASE = build(small_tree(), security_data(b"descriptor one", b"two"))


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(BASE) - 8),
            st.sampled_from(["<B", "<H", "<I", "<Q"]),
            st.one_of(
                st.integers(0, 255),
                st.sampled_from([0x10, 0x400, 0x410, 0x4000, 2**16 - 1, 2**32 - 1, 2**64 - 8]),
                st.integers(0, len(BASE)).map(lambda value: value & ~7),
            ),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 40),
    st.sampled_from(StreamsInterface),
)
def test_mutations_never_crash(
    changes: list[tuple[int, str, int]], cut: int, interface: StreamsInterface
) -> None:
    data = bytearray(BASE)
    for offset, fmt, value in changes:
        put(fmt, data, offset, value & (1 << 8 * struct.calcsize(fmt)) - 1)
    try:
        metadata = ImageMetadata.parse(data[: len(data) - max(0, cut - 30)])
    except MetadataError as error:
        if "at offset " not in str(error.structure):
            raise AssertionError("the error does not say where") from error
        return
    exercise(metadata, interface)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_arbitrary_bytes_never_crash(data: bytes) -> None:
    for blob in (data, security_data() + data):
        try:
            metadata = ImageMetadata.parse(blob)
        except MetadataError:
            continue
        exercise(metadata, StreamsInterface.XATTR)


def test_stream_entries_that_eat_the_next_dentry() -> None:
    tree = directory("", Raw("a", extras=[("", sha(1))]), Raw("b"))
    data = bytearray(build(tree))
    entry = child(tree, 0).offset + len(child(tree, 0).head())
    assert len(stream_entry("", sha(1))) == 40
    put("<Q", data, entry, 40 + len(child(tree, 1).head()))
    metadata = ImageMetadata.parse(data)
    assert [path for _, path in metadata.walk()] == [b"/", b"/a"]
    assert metadata.columns.attributes(0) == DIRECTORY
