"""wimlib-imagex and this program write one WIM in turn, and nothing is lost."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.commit.invariants import check_wim
from tests.commit.trees import TestTree
from tests.commit.ways import options, words
from tests.oracle.trees import differences, snapshot
from tests.oracle.wims import KINDS, make_source, make_wim, wimlib
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.commit import edit

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.oracle, pytest.mark.slow]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source") / "tree")


def _update(path: Path, turn: int) -> None:
    script = f"add {path.parent}/in-{turn} /by-wimlib-{turn}\n"
    (path.parent / f"in-{turn}").write_bytes(words(700 + turn, 30_000))
    if turn > 4:
        script += f"delete /by-wimlib-{turn - 4}\n"
    subprocess.run(
        ["wimlib-imagex", "update", path, "1"],
        input=script, text=True, check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def _mount(path: Path, turn: int) -> None:
    folder = path.parent / "mnt"
    folder.mkdir(exist_ok=True)
    wimlib("mountrw", path, "1", folder)
    try:
        (folder / f"by-wimlib-{turn}").write_bytes(words(700 + turn, 30_000))
        (folder / f"by-us-{turn - 1}").rename(folder / f"renamed-{turn - 1}")
        if turn > 4:
            (folder / f"by-wimlib-{turn - 4}").unlink()
    finally:
        wimlib("unmount", folder, "--commit")
    deadline = time.monotonic() + 20
    while _is_mounted(folder) or any(path.parent.glob("*.staging*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_mounted(folder: Path) -> bool:
    """Whether a mount is there; one that is just going away answers with an error."""
    try:
        return folder.is_mount()
    except OSError:
        return True


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("LZX-32768", "update"), ("XPRESS-32768", "update"), ("solid-small-chunks", "update"),
        pytest.param("LZX-32768", "mount", marks=pytest.mark.fuse),
    ],
)  # fmt: skip
def test_ten_turns_with_wimlib(kind: str, how: str, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wims"
    folder.mkdir()
    made = make_wim(next(each for each in KINDS if each.name == kind), source, folder)
    path = made.path
    wimlib("apply", path, "1", tmp_path / "before")
    wimlib("info", path, "1", "--boot", "--check")
    expected: dict[str, bytes] = {}
    for turn in range(0, 20, 2):
        with Archive.open(path) as archive:
            tree = TestTree.of_image(archive, 1)
            tree.add(f"/by-us-{turn}", words(turn, 40_000))
            if turn > 4:
                old = f"by-us-{turn - 4}" if how == "update" else f"renamed-{turn - 4}"
                tree.remove("/" + old)
                del expected[old]
            edit.commit_image(archive, 1, tree, options(rebuild=turn == 12))
        expected[f"by-us-{turn}"] = words(turn, 40_000)
        check_wim(path)
        wimlib("verify", path)
        (_update if how == "update" else _mount)(path, turn + 1)
        expected[f"by-wimlib-{turn + 1}"] = words(701 + turn, 30_000)
        if turn + 1 > 4:
            del expected[f"by-wimlib-{turn - 3}"]
        if how == "mount":
            expected[f"renamed-{turn}"] = expected.pop(f"by-us-{turn}")
    with Archive.open(path, ArchiveOptions(check_integrity=True)) as archive:
        assert archive.wim.header.boot_index == 1
        assert archive.wim.integrity_table() is not None
    applied = tmp_path / "applied"
    wimlib("apply", path, "1", applied, "--check")
    for name, data in expected.items():
        assert (applied / name).read_bytes() == data
    found, links = snapshot(applied)
    wanted, wanted_links = snapshot(tmp_path / "before")
    rest = {name: node for name, node in found.items() if name not in expected}
    assert differences(rest, wanted) == []
    assert links == wanted_links
    assert len(expected) > 3
