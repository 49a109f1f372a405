"""A WIM and the ways to change it, each with the same input every time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.commit.trees import TICKS, TestTree
from wimtui.engine.archive import Archive
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit import edit
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import Compression, WriteOptions, WriteResult

if TYPE_CHECKING:
    from wimtui.engine.commit.disk import Disk

Way = Callable[[Archive, WriteOptions], WriteResult]

FAST = Compression(level=20)


def words(seed: int, nbytes: int) -> bytes:
    """Bytes that compress to about a third."""
    rng = random.Random(seed)
    vocabulary = [rng.randbytes(rng.randint(2, 9)) for _ in range(300)]
    out = bytearray()
    while len(out) < nbytes:
        out += b" ".join(rng.choices(vocabulary, k=50))
    return bytes(out[:nbytes])


def options(disk: Disk | None = None, **more: object) -> WriteOptions:
    """Options that make the output the same in every run."""
    made = WriteOptions(compression=FAST, clock=lambda: TICKS, worker_count=2)
    if disk is not None:
        made = replace(made, disk=disk)
    return replace(made, **more)  # type: ignore[arg-type]


def first_tree() -> TestTree:
    """A small tree with something of everything."""
    tree = TestTree()
    tree.make_directory("/System")
    tree.make_directory("/System/empty")
    tree.add("/System/a.txt", words(1, 90_000))
    tree.add("/System/b.bin", random.Random(2).randbytes(70_000))
    tree.add("/System/small", b"hello")
    tree.add("/System/same", b"hello")
    tree.add("/System/nothing")
    tree.link("/System/a.txt", "/a-link.txt")
    tree.symlink("/to-system", b"System")
    tree.symlink("/to-file", b"System/small")
    tree.symlink("/dangling", b"no/where")
    tree.set_stream("/System/small", b"Zone.Identifier", b"[ZoneTransfer]\r\nZoneId=3\r\n")
    tree.find("/System/b.bin").short_name = b"B~1.BIN"
    tree.find("/System/b.bin").attributes = 0x21
    tree.find("/System/b.bin").unknown_0x54 = 0x1234
    return tree


def changed_tree(archive: Archive, index: int = 1) -> TestTree:
    """The tree of an image with every kind of change."""
    tree = TestTree.of_image(archive, index)
    tree.add("/new.txt", words(3, 120_000))
    tree.add("/copy of b", random.Random(2).randbytes(70_000))
    tree.make_directory("/made")
    tree.symlink("/made/up", b"../System")
    tree.modify("/System/a.txt", words(4, 40_000))
    tree.remove("/System/same")
    tree.rename("/System/small", "/made/small")
    tree.link("/new.txt", "/made/new-link.txt")
    tree.set_stream("/made/small", b"more", b"stream data " * 20)
    return tree


def make_wim(
    path: Path, codec: CodecId = CodecId.XPRESS, *, images: int = 2, integrity: bool = True
) -> Path:
    """A WIM with images of different trees, the last one bootable."""
    made = replace(options(), compression=Compression(codec, level=20), integrity=integrity)
    edit.create(str(path), first_tree(), ImageProperties("first", "the first"), made)
    for number in range(2, images + 1):
        tree = first_tree()
        tree.add(f"/only-{number}", words(100 + number, 50_000))
        with Archive.open(path) as archive:
            described = ImageProperties(f"image {number}", boot=True)
            edit.append_image(archive, tree, described, options())
    return path


def commit(archive: Archive, given: WriteOptions) -> WriteResult:
    return edit.commit_image(archive, 1, changed_tree(archive), given)


def commit_anew(archive: Archive, given: WriteOptions) -> WriteResult:
    properties = ImageProperties("saved", boot=True)
    return edit.commit_new_image(archive, 1, changed_tree(archive), properties, given)


def rebuild(archive: Archive, given: WriteOptions) -> WriteResult:
    return commit(archive, replace(given, rebuild=True))


def rebuild_anew(archive: Archive, given: WriteOptions) -> WriteResult:
    return commit_anew(archive, replace(given, rebuild=True))


def save_as(archive: Archive, given: WriteOptions) -> WriteResult:
    return commit(archive, replace(given, save_as=str(saved(Path(archive.wim.path)))))


def save_anew_as(archive: Archive, given: WriteOptions) -> WriteResult:
    return commit_anew(archive, replace(given, save_as=str(saved(Path(archive.wim.path)))))


def save_recompressed_as(archive: Archive, given: WriteOptions) -> WriteResult:
    return save_as(archive, replace(given, rebuild=True, recompress=True))


def saved(path: Path) -> Path:
    """Where the ways that save as another file put it."""
    return path.with_name("saved.wim")


def rename_image(archive: Archive, given: WriteOptions) -> WriteResult:
    return edit.set_properties(archive, 1, ImageProperties("another name"), given)


def delete(archive: Archive, given: WriteOptions) -> WriteResult:
    return edit.delete_image(archive, 1, given)


def soft_delete(archive: Archive, given: WriteOptions) -> WriteResult:
    return edit.delete_image(archive, 1, given, soft=True)


WAYS: dict[str, Way] = {
    "append": commit,
    "append a new image": commit_anew,
    "rebuild": rebuild,
    "rebuild with a new image": rebuild_anew,
    "save as": save_as,
    "save as with a new image": save_anew_as,
    "save as, rebuilt": save_recompressed_as,
    "XML only": rename_image,
    "delete": delete,
    "soft delete": soft_delete,
}
