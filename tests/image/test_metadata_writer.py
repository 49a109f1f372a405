from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from tests.image.test_metadata import VECTOR
from wimtui.engine.errors import InvalidNameError, LimitError, NameEncodingError
from wimtui.engine.image.dentry import Dentry, StreamEntry
from wimtui.engine.image.details import FileDetails, file_details
from wimtui.engine.image.metadata import ImageMetadata
from wimtui.engine.image.metadata_writer import DentryNode, ImageNodes, write_metadata
from wimtui.engine.image.names import collation_key, wtf8_from_text

if TYPE_CHECKING:
    from pathlib import Path

HASHES = st.sampled_from([bytes(20), sha(1), sha(2), sha(3)])
TICKS = st.integers(0, 2**64 - 1)


def canonical(text: str) -> bytes:
    """The host name of text, surrogate pairs joined."""
    units = text.encode("utf-16-le", "surrogatepass")
    return wtf8_from_text(units.decode("utf-16-le", "surrogatepass"))


NAMES = (
    st.text(st.characters(exclude_characters="\0/", exclude_categories=()), min_size=1, max_size=20)
    .filter(lambda name: name not in (".", ".."))
    .map(canonical)
)
ITEMS = st.lists(st.binary(max_size=20), max_size=2).map(
    lambda items: b"".join(
        struct.pack("<II", 0x1234, len(data)) + data + bytes(-len(data) % 8) for data in items
    )
)


def rewrite(metadata: ImageMetadata) -> bytes:
    nodes = ImageNodes(metadata)
    return write_metadata(nodes.root(), metadata.security.raw, nodes.children)


def everything(metadata: ImageMetadata) -> list[FileDetails]:
    return [file_details(metadata, dentry) for dentry, _ in metadata.walk()]


def same_image(first: ImageMetadata, second: ImageMetadata) -> bool:
    """Compare all but offsets and, where they had to be given anew, hard-link group ids."""

    def plain(details: FileDetails) -> tuple[object, ...]:
        return tuple(
            getattr(details, name)
            for name in FileDetails.__dataclass_fields__
            if name not in ("offset_in_metadata", "group_id")
        )

    return first.security.raw == second.security.raw and list(
        map(plain, everything(first))
    ) == list(map(plain, everything(second)))


@st.composite
def files(draw: st.DrawFn) -> DentryNode:
    attributes = draw(st.sampled_from([0x20, 0x21, 0x80, REPARSE, REPARSE | DIRECTORY, ENCRYPTED]))
    reparse = attributes & REPARSE != 0
    streams = draw(st.dictionaries(NAMES, HASHES, max_size=3))
    data = draw(HASHES) if attributes == REPARSE else bytes(20)
    return DentryNode(
        draw(NAMES),
        attributes,
        draw(st.integers(-1, 1)),
        draw(TICKS),
        draw(TICKS),
        draw(TICKS),
        draw(HASHES),
        data,
        () if attributes & ENCRYPTED else tuple(streams.items()),
        draw(st.integers(0, 2**32 - 1)) if reparse else 0,
        draw(st.integers(0, 65535)) if reparse else 0,
        draw(st.integers(0, 65535)) if reparse else 0,
        0,
        draw(st.one_of(st.just(b""), NAMES)),
        draw(ITEMS),
        draw(st.integers(0, 2**32 - 1)),
    )


def directories(children: st.SearchStrategy[DentryNode]) -> st.SearchStrategy[DentryNode]:
    def make(name: bytes, listed: list[DentryNode], streams: dict[bytes, bytes]) -> DentryNode:
        unique = {child.name: child for child in listed}
        return DentryNode(
            name, DIRECTORY, named_streams=tuple(streams.items()), children=list(unique.values())
        )

    return st.builds(
        make, NAMES, st.lists(children, max_size=4), st.dictionaries(NAMES, HASHES, max_size=2)
    )


TREES = directories(st.recursive(files(), directories, max_leaves=12))
SECURITY = security_data(b"first descriptor", b"2nd")


def flatten(node: DentryNode) -> list[tuple[object, ...]]:
    """Nodes in the order of the format, without what differs between two copies."""
    rows: list[tuple[object, ...]] = [
        (node.name, node.attributes, node.security_id, node.creation_time, node.access_time,
         node.write_time, node.content_sha1, node.data_sha1, node.named_streams, node.reparse_tag,
         node.reparse_reserved, node.rp_flags, node.group_id, node.short_name, node.unknown_0x54,
         node.tagged_items if any(node.tagged_items) else b"")
    ]  # fmt: skip
    for child in sorted(node.children, key=lambda child: collation_key(child.name)):
        rows += flatten(child)
    return rows


def tree_of(metadata: ImageMetadata) -> DentryNode:
    nodes = ImageNodes(metadata)

    def grow(node: DentryNode) -> DentryNode:
        node.children = [grow(child) for child in nodes.children(node)]
        return node

    return grow(nodes.root())


@settings(max_examples=50, deadline=None)
@given(TREES)
def test_written_trees_read_back(root: DentryNode) -> None:
    root.name = b""
    written = write_metadata(root, SECURITY)
    metadata = ImageMetadata.parse(written)
    assert not metadata.warnings()
    assert flatten(tree_of(metadata)) == flatten(root)
    assert rewrite(metadata) == written


@settings(max_examples=50, deadline=None)
@given(TREES)
def test_invariants_of_a_written_resource(root: DentryNode) -> None:
    written = write_metadata(root, SECURITY)
    metadata = ImageMetadata.parse(written)
    columns = metadata.columns
    consumed = len(metadata.security.raw) + 8
    subdir_offsets = []
    for dentry in range(columns.dentry_count):
        start = columns.offset_in_metadata(dentry)
        value, end = Dentry.parse(written, start)
        consumed += end - start
        (length,) = struct.unpack_from("<Q", written, start)
        assert length % 8 == 0
        assert length >= 104
        assert bool(value.subdir_offset) == columns.is_directory(dentry)
        if value.subdir_offset:
            consumed += 8
            subdir_offsets.append(value.subdir_offset)
        assert value.pack() == written[start:end]
    assert consumed == len(written)
    assert len(set(subdir_offsets)) == len(subdir_offsets)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Dentry,
        st.one_of(st.just(b""), NAMES),
        st.integers(0, 2**32 - 1).map(lambda attributes: attributes & ~REPARSE),
        st.integers(-(2**31), 2**31 - 1),
        TICKS,
        TICKS,
        TICKS,
        TICKS,
        HASHES,
        st.integers(0, 2**32 - 1),
        TICKS,
        short_name=st.one_of(st.just(b""), NAMES),
        tagged_items=ITEMS,
        entries=st.lists(st.builds(StreamEntry, st.one_of(st.just(b""), NAMES), HASHES), max_size=3)
        .map(tuple),
    ),
    st.integers(0, 3),
)  # fmt: skip
def test_dentries_round_trip(dentry: Dentry, before: int) -> None:
    packed = dentry.pack()
    assert Dentry.parse(bytes(8 * before) + packed, 8 * before) == (
        dentry, 8 * before + len(packed),
    )  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.integers(0, 65535), st.integers(0, 65535))
def test_reparse_dentries_round_trip(tag: int, reserved: int, rp_flags: int) -> None:
    dentry = Dentry(b"l", REPARSE, reparse_tag=tag, reparse_reserved=reserved, rp_flags=rp_flags)
    assert Dentry.parse(dentry.pack()) == (dentry, 112)


def test_vector_is_rewritten_byte_by_byte() -> None:
    assert rewrite(ImageMetadata.parse(VECTOR)) == VECTOR


def test_hard_link_groups_keep_unique_ids() -> None:
    root = directory(
        "",
        *(Raw(f"a{index}", group=9, sha1=sha(1)) for index in range(3)),
        *(Raw(f"b{index}", group=9, sha1=sha(2)) for index in range(2)),
        Raw("single", group=5, sha1=sha(4)),
    )
    metadata = ImageMetadata.parse(build(root))
    again = ImageMetadata.parse(rewrite(metadata))
    groups = [again.columns.group_id(dentry) for dentry in range(1, 7)]
    assert groups == [9, 9, 9, 1, 1, 0]
    assert same_image(metadata, again)


def test_hidden_names_survive_a_rewrite() -> None:
    metadata = ImageMetadata.parse(build(directory("", Raw("a/b", sha1=sha(1)), Raw("c"))))
    again = ImageMetadata.parse(rewrite(metadata))
    assert [path for _, path in again.walk()] == [b"/", b"/a/b", b"/c"]


def test_siblings_are_put_in_order() -> None:
    names = [b"b", b"A", b"a", b"_", b"B2"]
    root = DentryNode(b"", DIRECTORY, children=[DentryNode(name, 0x20) for name in names])
    metadata = ImageMetadata.parse(write_metadata(root, security_data()))
    columns = metadata.columns
    offsets = [columns.offset_in_metadata(dentry) for dentry in range(6)]
    assert offsets == sorted(offsets)
    assert [columns.name(dentry) for dentry in range(1, 6)] == [b"A", b"a", b"b", b"B2", b"_"]


@pytest.mark.parametrize(
    ("children", "error"),
    [
        ([DentryNode(b"", 0x20)], InvalidNameError),
        ([DentryNode(b"x", 0x20), DentryNode(b"x", 0x20)], InvalidNameError),
        ([DentryNode(b"\xff", 0x20)], NameEncodingError),
        ([DentryNode(b"x" * 32768, 0x20)], LimitError),
        ([DentryNode(b"x", 0x20, named_streams=((b"s", sha(1)),) * 65535)], LimitError),
        ([DentryNode(b"x", 0x20, content_sha1=b"short")], ValueError),
    ],
)
def test_what_cannot_be_written(children: list[DentryNode], error: type[Exception]) -> None:
    with pytest.raises(error):
        write_metadata(DentryNode(b"", DIRECTORY, children=children), security_data())


def metadata_resource(path: Path) -> bytes:
    """The first metadata resource of an uncompressed WIM."""
    data = path.read_bytes()
    size_and_flags, offset = struct.unpack_from("<QQ", data, 48)
    table = data[offset : offset + (size_and_flags & (1 << 56) - 1)]
    for row in range(0, len(table), 50):
        size_and_flags, offset = struct.unpack_from("<QQ", table, row)
        if size_and_flags >> 56 & 2:
            return data[offset : offset + (size_and_flags & (1 << 56) - 1)]
    raise AssertionError("no metadata resource")


def capture(tmp_path: Path, *options: str, directory_link: bool = False) -> bytes:
    """Capture a small tree.

    Links to directories are where wimlib before 1.14.2 encodes streams in another way.
    """
    source = tmp_path / "source"
    (source / "Sub" / "deeper").mkdir(parents=True)
    (source / "empty").mkdir()
    for name in ("b.txt", "A.txt", "a.txt", "Sub/\u00e9t\u00e9", "Sub/deeper/x", "zero"):
        (source / name).write_bytes(b"" if name == "zero" else name.encode())
    for name in ("hard1", "Sub/hard2", "Sub/deeper/hard3"):
        (source / name).hardlink_to(source / "b.txt")
    (source / "link").symlink_to("Sub/deeper" if directory_link else "Sub/deeper/x")
    (source / "absolute").symlink_to("/nowhere/at/all")
    os.mkfifo(source / "fifo")
    wim = tmp_path / "x.wim"
    command = ["wimlib-imagex", "capture", str(source), str(wim), "--compress=none", *options]
    subprocess.run(command, check=True, capture_output=True)
    return metadata_resource(wim)


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("wimlib-imagex") is None, reason="wimlib-imagex is not installed")
@pytest.mark.parametrize("options", [("--unix-data",), ("--norpfix",)])
def test_images_of_wimlib_survive_a_rewrite(tmp_path: Path, options: tuple[str, ...]) -> None:
    captured = capture(tmp_path, *options, directory_link=True)
    metadata = ImageMetadata.parse(captured)
    assert not metadata.warnings()
    written = rewrite(metadata)
    assert same_image(metadata, ImageMetadata.parse(written))
    paths = [path for _, path in metadata.walk()]
    listing = ["wimlib-imagex", "dir", str(tmp_path / "x.wim"), "1"]
    listed = subprocess.run(listing, check=True, capture_output=True).stdout.splitlines()
    assert [line.rstrip(b"/") or b"/" for line in listed] == paths
    assert b"/Sub/deeper/hard3" in paths
    hard = metadata.find(b"Sub/hard2")
    assert hard is not None
    assert file_details(metadata, hard).link_count == 4
    unix = file_details(metadata, hard).unix_data
    assert (unix is not None) == (options == ("--unix-data",))


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("wimlib-imagex") is None, reason="wimlib-imagex is not installed")
def test_plain_images_of_wimlib_are_rewritten_byte_by_byte(tmp_path: Path) -> None:
    captured = capture(tmp_path, "--unix-data")
    assert rewrite(ImageMetadata.parse(captured)) == captured


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("wimlib-imagex") is None, reason="wimlib-imagex is not installed")
def test_wimlib_reads_what_is_written(tmp_path: Path) -> None:
    """Replace the metadata inside an uncompressed WIM and let wimlib list it in detail."""
    capture(tmp_path)
    wim = tmp_path / "x.wim"
    listing = ["wimlib-imagex", "dir", str(wim), "1", "--detailed"]
    before = subprocess.run(listing, check=True, capture_output=True).stdout
    data = wim.read_bytes()
    resource = metadata_resource(wim)
    written = rewrite(ImageMetadata.parse(resource))
    assert len(written) == len(resource)
    old = hashlib.sha1(resource, usedforsecurity=False).digest()
    new = hashlib.sha1(written, usedforsecurity=False).digest()
    wim.write_bytes(data.replace(resource, written).replace(old, new))
    assert subprocess.run(listing, check=True, capture_output=True).stdout == before
