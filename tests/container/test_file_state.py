"""What becomes of a WIM file while somebody has it open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.commit.trees import TestTree
from tests.commit.ways import options
from wimtui.engine.archive import Archive
from wimtui.engine.commit import edit
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.container.file_state import FileState, FileWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def make_wim(path: Path, name: str = "a") -> Path:
    tree = TestTree()
    tree.add("/file", name.encode() * 5000)
    edit.create(str(path), tree, ImageProperties(name), options())
    return path


def append(path: Path) -> None:
    with Archive.open(path) as archive:
        tree = TestTree()
        tree.add("/more", os.urandom(3000))
        edit.append_image(archive, tree, ImageProperties("more"), options())


def describe(path: Path) -> None:
    with Archive.open(path) as archive:
        edit.set_properties(archive, 1, ImageProperties(description="text"), options())


def rebuild(path: Path) -> None:
    with Archive.open(path) as archive:
        edit.optimize(archive, options())


def rename_over(path: Path) -> None:
    make_wim(path.with_name("other.wim"), "b").replace(path)


def rename_away(path: Path) -> None:
    path.rename(path.with_name("away.wim"))


def copy_over(path: Path) -> None:
    path.write_bytes(make_wim(path.with_name("other.wim"), "b").read_bytes())


def copy_later_state_over(path: Path) -> None:
    other = path.with_name("other.wim")
    other.write_bytes(path.read_bytes())
    append(other)
    path.write_bytes(other.read_bytes())


def copy_rebuilt_over(path: Path) -> None:
    """The same GUID, and other places."""
    other = path.with_name("other.wim")
    other.write_bytes(path.read_bytes())
    append(other)
    rebuild(other)
    path.write_bytes(other.read_bytes())


def cut(path: Path) -> None:
    os.truncate(path, 300)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def mark(path: Path) -> None:
    """As a writer does that is at work, or was killed."""
    data = bytearray(path.read_bytes())
    data[16] |= 0x40
    path.write_bytes(bytes(data) + bytes(1000))


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (append, FileState.SAME),
        (describe, FileState.SAME),
        (mark, FileState.SAME),
        (copy_later_state_over, FileState.SAME),
        (os.utime, FileState.SAME),
        (rebuild, FileState.REPLACED),
        (rename_over, FileState.REPLACED),
        (rename_away, FileState.GONE),
        (copy_over, FileState.OVERWRITTEN),
        (copy_rebuilt_over, FileState.OVERWRITTEN),
        (cut, FileState.OVERWRITTEN),
        (empty, FileState.OVERWRITTEN),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_became_of_it(
    tmp_path: Path, change: Callable[[Path], None], state: FileState
) -> None:
    path = make_wim(tmp_path / "a.wim")
    before = path.read_bytes()
    with Archive.open(path) as archive:
        watch = FileWatch(archive.wim)
        assert watch.state() is FileState.SAME
        change(path)
        if path.exists():
            # A clock that ticks seldom must not hide it.
            os.utime(path, ns=(10**18, 10**18))
        assert watch.state() is state
        assert watch.state() is state, "asked again"
        if state is FileState.OVERWRITTEN:
            path.write_bytes(before)
            os.utime(path, ns=(10**18, 2 * 10**18))
            assert watch.state() is FileState.SAME, "the old bytes are back"
