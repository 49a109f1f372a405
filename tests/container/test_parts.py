"""Split sets and references."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder, sha1_of
from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.parts import expand_references, open_references
from wimtui.engine.container.wim_file import WimFile
from wimtui.engine.errors import (
    GlobError,
    MissingBlobError,
    NotWimError,
    OpenFailedError,
)

if TYPE_CHECKING:
    from pathlib import Path

BLOBS = {1: b"one" * 10, 2: b"two" * 10, 3: b"three" * 10}


def make_part(folder: Path, number: int, *, total: int = 3, guid: bytes = bytes(16)) -> Path:
    builder = WimBuilder(part_number=number, total_parts=total, guid=guid)
    if number == 1:
        builder.add_image(b"metadata", name="image")
    else:
        builder.add_image_name("image")
    builder.add_blob(BLOBS[number])
    name = "set.swm" if number == 1 else f"set{number}.swm"
    return builder.build().write(folder / name)


def test_a_whole_set(tmp_path: Path) -> None:
    main = WimFile.open(make_part(tmp_path, 1))
    for number in (2, 3):
        make_part(tmp_path, number)
    others = open_references(main, [str(tmp_path / "set*.swm")])
    assert [wim.header.part_number for wim in others] == [2, 3]
    store = BlobStore(main, others)
    for number, data in BLOBS.items():
        assert store.read_all(sha1_of(data), 100) == data
        info = store.describe(sha1_of(data))
        assert info is not None
        assert info.part_number == number
    assert [info.part_number for info in store.blobs()] == [1, 1, 2, 3]
    store.close()


def test_the_missing_part_is_named(tmp_path: Path) -> None:
    main = WimFile.open(make_part(tmp_path, 1))
    make_part(tmp_path, 3)
    store = BlobStore(main, open_references(main, [str(tmp_path / "set*.swm")]))
    with pytest.raises(MissingBlobError, match=r"part 2 of 3 is missing; .*set\*\.swm"):
        store.open(sha1_of(BLOBS[2]))
    store.close()
    alone = BlobStore(WimFile.open(tmp_path / "set.swm"))
    with pytest.raises(MissingBlobError, match="parts 2, 3 of 3 are missing"):
        alone.open(sha1_of(BLOBS[2]))
    alone.close()


def test_a_foreign_part_is_named(tmp_path: Path) -> None:
    main = WimFile.open(make_part(tmp_path, 1))
    make_part(tmp_path, 2, guid=b"y" * 16)
    make_part(tmp_path, 3)
    store = BlobStore(main, open_references(main, [str(tmp_path / "*.swm")]))
    assert store.read_all(sha1_of(BLOBS[2]), 100) == BLOBS[2]
    with pytest.raises(
        MissingBlobError, match=r"part 2 of 3 is missing; .*set2.swm is part 2 of a"
    ):
        store.open(b"?" * 20)
    store.close()


def test_the_first_known_place_wins(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        builder = WimBuilder()
        builder.add_blob(b"shared data")
        paths.append(builder.build().write(tmp_path / f"{name}.wim"))
    store = BlobStore(*_opened(paths))
    info = store.describe(sha1_of(b"shared data"))
    assert info is not None
    assert info.path == str(paths[0])
    assert len(list(store.blobs())) == 1
    store.close()


def test_a_usable_place_wins_over_an_earlier_one_outside_its_file(tmp_path: Path) -> None:
    builder = WimBuilder()
    sha1 = builder.add_blob(b"shared data")
    good = builder.build().write(tmp_path / "good.wim")
    bad = builder.build().patch_row(0, offset_in_wim=1 << 40).write(tmp_path / "bad.wim")
    store = BlobStore(*_opened([bad, good]))
    assert store.read_all(sha1, 100) == b"shared data"
    store.close()


def test_references_may_be_any_wim(tmp_path: Path) -> None:
    delta = WimBuilder()
    delta.add_image(b"metadata")
    main = WimFile.open(delta.build().write(tmp_path / "delta.wim"))
    with pytest.raises(MissingBlobError, match="delta"):
        BlobStore(main).open(sha1_of(b"base data"))
    base = WimBuilder()
    base.add_image(b"other metadata")
    base.add_blob(b"base data")
    path = base.build().write(tmp_path / "base.wim")
    store = BlobStore(main, open_references(main, [str(path), str(path)]))
    assert len(store.files) == 2
    assert store.read_all(sha1_of(b"base data"), 100) == b"base data"
    assert store.metadata_resource(1) == b"metadata"
    store.close()


def test_patterns(tmp_path: Path) -> None:
    for name in ("b.swm", "a.swm", "[x].swm"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.swm").mkdir()
    names = [str(tmp_path / name) for name in ("[x].swm", "a.swm", "b.swm")]
    assert expand_references([str(tmp_path / "*.swm")]) == names
    assert expand_references([names[0], names[2], str(tmp_path / "*.swm")]) == [
        names[0],
        names[2],
        names[1],
    ]
    with pytest.raises(GlobError, match=r"\*\.esd"):
        expand_references([str(tmp_path / "*.esd")])


def test_bad_references(tmp_path: Path) -> None:
    main = WimFile.open(make_part(tmp_path, 1))
    with pytest.raises(OpenFailedError):
        open_references(main, [str(tmp_path / "none.swm")])
    (tmp_path / "text.swm").write_bytes(b"no WIM at all")
    with pytest.raises(NotWimError):
        open_references(main, [str(tmp_path / "t*.swm")])
    main.close()


def _opened(paths: list[Path]) -> tuple[WimFile, list[WimFile]]:
    first, *others = (WimFile.open(path) for path in paths)
    return first, others
