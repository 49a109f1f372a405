"""Disks with too little room, or just enough: real file systems of a few MiB."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commit.invariants import check_wim
from tests.commit.test_staged import FILE, at, overlay_on, write
from tests.commit.trees import TestTree, contents
from tests.commit.ways import commit, make_wim, options, words
from tests.mounting import mount_point
from wimtui.engine.archive import Archive
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit import edit, space
from wimtui.engine.commit.errors import NoSpaceError
from wimtui.engine.commit.options import Compression
from wimtui.engine.commit.overlay import CommitPlan, commit_overlay
from wimtui.engine.commit.sources import MemorySource
from wimtui.engine.commit.space import Load, sampled_ratio
from wimtui.engine.errors import WriteFailedError
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.commit.options import WriteOptions, WriteResult

MIB = 1 << 20
COMPRESSIBLE = b"".join(b"line %07d of a log that repeats itself\r\n" % n for n in range(200_000))
INCOMPRESSIBLE = random.Random(11).randbytes(6 * MIB)


@contextmanager
def small_disk(nbytes: int) -> Iterator[Path]:
    """A file system in memory of that size."""
    with mount_point() as where:
        command: list[str | Path] = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={nbytes}",
            "wimtui-test",
            where,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        try:
            yield where
        finally:
            subprocess.run(["umount", "--lazy", where], check=True)


def ways(folder: Path) -> dict[str, WriteOptions]:
    """Both ways of writing, and to another file."""
    return {
        "append": options(),
        "rebuild": options(rebuild=True),
        "save as": options(save_as=str(folder / "other.wim")),
    }


def save(archive: Archive, data: bytes, given: WriteOptions) -> WriteResult:
    tree = TestTree.of_image(archive, 1)
    tree.add("/big", data)
    return edit.commit_image(archive, 1, tree, given)


@pytest.mark.parametrize("way", ["append", "rebuild", "save as"])
@pytest.mark.parametrize("codec", [CodecId.XPRESS, CodecId.LZX, CodecId.LZMS])
def test_what_fits_when_compressed_is_written(way: str, codec: CodecId) -> None:
    assert len(COMPRESSIBLE) > 8 * MIB
    with small_disk(4 * MIB) as folder:
        path = make_wim(folder / "a.wim", codec)
        given = ways(folder)[way]
        with Archive.open(path) as archive:
            result = save(archive, COMPRESSIBLE, given)
        check_wim(Path(result.path))
        assert contents(Path(result.path), 1).keys() >= {"/big"}


@pytest.mark.parametrize("way", ["append", "rebuild", "save as"])
def test_what_cannot_fit_is_refused_with_the_number(way: str) -> None:
    with small_disk(4 * MIB) as folder:
        path = make_wim(folder / "a.wim", CodecId.LZX)
        before = path.read_bytes()
        given = ways(folder)[way]
        with Archive.open(path) as archive:
            with pytest.raises(NoSpaceError, match=r"about 6\d{6} bytes .* \d+ too few"):
                save(archive, INCOMPRESSIBLE, given)
            assert path.read_bytes() == before
            assert [entry.name for entry in folder.iterdir()] == ["a.wim"]
            # The disk says the same in the middle, and everything is put back.
            with pytest.raises(NoSpaceError, match="No space left") as raised:
                save(archive, INCOMPRESSIBLE, replace(given, check_space=False))
            assert raised.value.path == (given.save_as or str(path))
            assert path.read_bytes() == before
            assert [entry.name for entry in folder.iterdir()] == ["a.wim"]
            result = save(archive, COMPRESSIBLE, given)
        check_wim(Path(result.path))


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("check", [False, True])
def test_staged_changes_outlive_a_full_disk(tmp_path: Path, rebuild: bool, check: bool) -> None:
    given = options(rebuild=rebuild, check_space=check)
    with small_disk(4 * MIB) as folder:
        path = make_wim(folder / "a.wim", CodecId.LZX)
        before = path.read_bytes()
        with Archive.open(path) as archive, overlay_on(archive, tmp_path) as overlay:
            write(overlay, overlay.create_node(ROOT_INO, b"small", FILE), words(1, 9_000))
            write(overlay, overlay.create_node(ROOT_INO, b"big", FILE), INCOMPRESSIBLE)
            snapshot = overlay.freeze()
            with pytest.raises(NoSpaceError):
                commit_overlay(archive, overlay, snapshot, CommitPlan(given))
            snapshot.release()
            assert path.read_bytes() == before
            assert overlay.store.facts.committing is None
            file = overlay.open_for_writing(at(overlay, "/big"))
            assert file.read(0, len(INCOMPRESSIBLE)) == INCOMPRESSIBLE
            file.close()
            overlay.unlink(ROOT_INO, b"big")
            snapshot = overlay.freeze()
            commit_overlay(archive, overlay, snapshot, CommitPlan(given))
            snapshot.release()
        assert {"/small"} == contents(path, 1).keys() & {"/small", "/big"}
        check_wim(path)


def test_a_sample_decides_only_where_the_worst_case_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_wim(tmp_path / "a.wim")
    before = path.read_bytes()

    class Status:
        f_bavail, f_frsize = 6, 4096

    sampled = []

    def sample(load: Load, cancel: object = None) -> tuple[float, float]:
        sampled.append(load)
        return sampled_ratio(load)

    monkeypatch.setattr(space, "sampled_ratio", sample)
    with Archive.open(path) as archive:
        commit(archive, options())
    assert not sampled
    path.write_bytes(before)
    monkeypatch.setattr(space, "statvfs", lambda where: Status)
    for rebuild in (False, True):
        with Archive.open(path) as archive:
            with pytest.raises(NoSpaceError, match=r"24576 are free, [0-9]+ too few"):
                commit(archive, options(rebuild=rebuild))
            assert path.read_bytes() == before
            assert commit(archive, options(rebuild=rebuild, check_space=False)).is_written
        path.write_bytes(before)
    assert sampled


@pytest.mark.parametrize("codec", [CodecId.XPRESS, CodecId.LZX, CodecId.LZMS])
def test_the_estimate_is_near_and_the_least_is_below_what_comes_out(
    tmp_path: Path, codec: CodecId
) -> None:
    rng = random.Random(3)
    pieces = [words(1, MIB), rng.randbytes(MIB), bytes(MIB), COMPRESSIBLE[:MIB]]
    mixed = b"".join(rng.choice(pieces)[:60_000] for _ in range(100))
    files = [mixed[at : at + size] for at, size in ((0, 3 * MIB), (3 * MIB, 7), (4 * MIB, MIB))]
    files += [mixed[5 * MIB + 2000 * n :][:2000] for n in range(300)]
    tree = TestTree()
    for number, data in enumerate(files):
        tree.add(f"/{number}", data)
    best = options(compression=Compression(codec, level=100))
    size = edit.create(str(tmp_path / "a.wim"), tree, edit.ImageProperties("x"), best).new_size
    chunk_size = 1 << 17 if codec is CodecId.LZMS else 1 << 15
    load = Load([MemorySource(data) for data in files], codec, chunk_size)
    likely, least = (load.nbytes * ratio for ratio in sampled_ratio(load))
    assert least < size
    assert 0.8 * size < likely < 1.25 * size
    random_load = Load([MemorySource(INCOMPRESSIBLE)], codec, chunk_size)
    likely, least = sampled_ratio(random_load)
    assert likely == 1.0
    assert least > 0.93, "room that is short by a tenth is refused before anything is written"
    assert sampled_ratio(Load([], codec, chunk_size)) == (1.0, 1.0)
    assert sampled_ratio(Load(load.sources, CodecId.NONE, 0)) == (1.0, 1.0)


@pytest.mark.serial
def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A real file system without room, where a limit on the file's size stands for it."""
    path = make_wim(tmp_path / "a.wim")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Archive.open(path) as archive:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30_000, limits[1]))
            with pytest.raises(WriteFailedError, match="File too large"):
                commit(archive, options())
            assert path.read_bytes() == before
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            commit(archive, options())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    check_wim(path)
