"""Names that come and go while a directory is being listed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.readwrite.mounts import Mounted

pytestmark = pytest.mark.fuse

COUNT = 600
"""Files whose names, of 250 bytes, take many requests to list."""


def name(number: int, kind: str = "f") -> str:
    return f"{kind}{number:04d}".ljust(250, "x")


@pytest.fixture
def folder(mounted: Mounted) -> Path:
    folder = mounted.path / "folder"
    folder.mkdir()
    for number in range(COUNT):
        (folder / name(number)).write_bytes(b"old")
    return folder


def rest_of(listing: Iterator[os.DirEntry[str]]) -> list[str]:
    return [entry.name for entry in listing]


def test_what_is_removed_meanwhile_ends_no_listing(folder: Path) -> None:
    with os.scandir(folder) as listing:
        seen = [next(listing).name]
        gone = {name(number) for number in range(COUNT // 2, COUNT, 2)}
        for each in gone:
            (folder / each).unlink()
        seen += rest_of(listing)
    left = {name(number) for number in range(COUNT)} - gone
    assert len(seen) == len(set(seen))
    assert left <= set(seen)
    assert [each for each in gone if os.path.lexists(folder / each)] == []
    assert {path.name for path in folder.iterdir()} == left


def test_old_names_are_gone_after_a_listing_that_began_before(folder: Path) -> None:
    with os.scandir(folder) as listing:
        next(listing)
        for number in range(COUNT // 2, COUNT):
            (folder / name(number)).rename(folder / name(number, "g"))
        rest_of(listing)
    moved = range(COUNT // 2, COUNT)
    assert [number for number in moved if os.path.lexists(folder / name(number))] == []
    assert all((folder / name(number, "g")).read_bytes() == b"old" for number in moved)


def test_what_is_replaced_meanwhile_comes_as_what_it_is(folder: Path) -> None:
    with os.scandir(folder) as listing:
        seen = [next(listing).name]
        for number in range(COUNT // 2, COUNT):
            (folder / "fresh").write_bytes(b"newer")
            (folder / "fresh").rename(folder / name(number))
        seen += rest_of(listing)
    assert sorted(set(seen) - {"fresh"}) == [name(number) for number in range(COUNT)]
    for number in range(COUNT):
        data = b"old" if number < COUNT // 2 else b"newer"
        assert (folder / name(number)).read_bytes() == data
        assert (folder / name(number)).stat().st_size == len(data)
