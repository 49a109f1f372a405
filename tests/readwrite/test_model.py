"""Random operations on a mount and on a plain folder give the same results and the same errors."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import random
import shutil
from io import FileIO
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.readwrite.control import assert_same
from tests.readwrite.mounts import Mounted, copied_sample, mounted_rw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

LIBC = ctypes.CDLL(None, use_errno=True)
MAX_NBYTES = 300_000


def fuzz(path: Path, control: Path, seed: int, steps: int) -> None:
    """Read, write, cut, map and reopen two files alike, as fsx does; compare after each read."""
    rng = random.Random(seed)
    files = [FileIO(one, "w+b") for one in (path, control)]
    try:
        for step in range(steps):
            offset, size = rng.randrange(MAX_NBYTES), rng.randrange(1, 70_000)
            data = rng.randbytes(size)
            match rng.choice(["read", "read", "write", "write", "cut", "map", "open", "sync"]):
                case "read":
                    one, other = (os.pread(file.fileno(), size, offset) for file in files)
                    assert one == other, f"step {step}: {size} bytes at {offset} differ"
                case "write":
                    for file in files:
                        assert os.pwrite(file.fileno(), data, offset) == size
                case "cut":
                    for file in files:
                        file.truncate(offset)
                case "map":
                    end = os.fstat(files[1].fileno()).st_size
                    if end > size:
                        start = rng.randrange(end - size)
                        for file in files:
                            with mmap.mmap(file.fileno(), end) as mapped:
                                mapped[start : start + size] = data
                case "open":
                    mode = rng.choice(["r+b", "r+b", "r+b", "w+b"])
                    for index, name in enumerate((path, control)):
                        files[index].close()
                        files[index] = FileIO(name, mode)
                case "sync":
                    os.fsync(files[0].fileno())
            sizes = [os.fstat(file.fileno()).st_size for file in files]
            assert sizes[0] == sizes[1], f"step {step}"
    finally:
        for file in files:
            file.close()
    assert path.read_bytes() == control.read_bytes()


def test_reads_and_writes_of_any_place_and_size(mounted: Mounted, tmp_path: Path) -> None:
    for seed in range(4):
        fuzz(mounted.path / f"fuzzed{seed}", tmp_path / f"control{seed}", seed, 250)
    mounted.kill()
    mounted.remount()
    for seed in range(4):
        one = (mounted.path / f"fuzzed{seed}").read_bytes()
        assert one == (tmp_path / f"control{seed}").read_bytes()


def renameat2(old: Path, new: Path, flags: int) -> None:
    if LIBC.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


NAMES = st.sampled_from(["a", "b", "c", "Ä", "d e", "x" * 255])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


class TwoFolders(RuleBasedStateMachine):
    """Does everything on the mount and on a plain folder."""

    mounted: ClassVar[Mounted]
    control_parent: ClassVar[Path]
    numbers: ClassVar[Iterator[int]] = count()
    kills_left: ClassVar[int] = 8

    @initialize()
    def make_folders(self) -> None:
        name = f"example{next(self.numbers)}"
        self.place = self.mounted.path / name
        self.control = self.control_parent / name
        self.place.mkdir()
        self.control.mkdir()

    def both(self, operation: Callable[[Path], Any]) -> None:
        results = []
        for root in (self.place, self.control):
            try:
                results.append(("ok", operation(root)))
            except OSError as error:
                results.append(("error", errno.errorcode[error.errno or 0]))
        assert results[0] == results[1]

    @rule(path=PATHS)
    def create(self, path: str) -> None:
        self.both(lambda root: (root / path).open("xb").close())

    @rule(path=PATHS, data=st.binary(max_size=5000), offset=st.integers(0, 20_000))
    def write(self, path: str, data: bytes, offset: int) -> None:
        def write_at(root: Path) -> int:
            with (root / path).open("r+b") as file:
                file.seek(offset)
                return file.write(data)

        self.both(write_at)

    @rule(path=PATHS)
    def read(self, path: str) -> None:
        self.both(lambda root: (root / path).read_bytes())

    @rule(path=PATHS, size=st.integers(0, 30_000))
    def truncate(self, path: str, size: int) -> None:
        self.both(lambda root: os.truncate(root / path, size))

    @rule(path=PATHS)
    def make_directory(self, path: str) -> None:
        self.both(lambda root: (root / path).mkdir())

    @rule(path=PATHS)
    def unlink(self, path: str) -> None:
        self.both(lambda root: (root / path).unlink())

    @rule(path=PATHS)
    def remove_directory(self, path: str) -> None:
        self.both(lambda root: (root / path).rmdir())

    @rule(path=PATHS, new=PATHS, flags=st.sampled_from([0, 0, 1, 2]))
    def rename(self, path: str, new: str, flags: int) -> None:
        self.both(lambda root: renameat2(root / path, root / new, flags))

    @rule(path=PATHS, new=PATHS)
    def link(self, path: str, new: str) -> None:
        # A WIM cannot hold two names of one symlink.
        if not (self.control / path).is_symlink():
            self.both(lambda root: os.link(root / path, root / new))

    @rule(path=PATHS, text=st.sampled_from(["a", "../b", "c/a", "nowhere"]))
    def symlink(self, path: str, text: str) -> None:
        self.both(lambda root: (root / path).symlink_to(text))

    @rule(path=PATHS, ticks=st.integers(-(10**16), 10**17))
    def set_times(self, path: str, ticks: int) -> None:
        def utime(root: Path) -> int:
            os.utime(root / path, ns=(ticks * 100, ticks * 100))
            return (root / path).stat().st_mtime_ns

        self.both(utime)

    @rule(path=PATHS)
    def look(self, path: str) -> None:
        def facts(root: Path) -> tuple[object, ...]:
            status = (root / path).stat()
            is_directory = (root / path).is_dir()
            return (
                status.st_mode >> 12,
                0 if is_directory else status.st_size,
                0 if is_directory else status.st_nlink,
                sorted(os.listdir(root / path)) if is_directory else [],  # noqa: PTH208
            )

        self.both(facts)

    @rule(luck=st.integers(0, 30))
    def kill(self, luck: int) -> None:
        if luck == 0 and TwoFolders.kills_left > 0:
            TwoFolders.kills_left -= 1
            self.mounted.kill()
            self.mounted.remount()

    @invariant()
    def trees_are_the_same(self) -> None:
        if hasattr(self, "place"):
            assert_same(self.place, self.control)

    def teardown(self) -> None:
        if hasattr(self, "place"):
            shutil.rmtree(self.place)
            assert not self.place.exists()


def test_any_operations_give_the_same_results(tmp_path: Path) -> None:
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        TwoFolders.mounted = mounted
        TwoFolders.control_parent = tmp_path
        TwoFolders.kills_left = 8
        TestCase = TwoFolders.TestCase
        TestCase.settings = settings(max_examples=25, stateful_step_count=30, derandomize=True)
        TestCase().runTest()
