"""Commits of a read-write mount: append and rebuild, ours beside wimlib-imagex's."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data

Change = Callable[[Path], None]

WIMTUI = [sys.executable, "-m", "wimtui"]
MOUNT = {"wimtui": [*WIMTUI, "mountrw"], "wimlib": ["wimlib-imagex", "mountrw"]}
UNMOUNT = {"wimtui": [*WIMTUI, "unmount"], "wimlib": ["wimlib-imagex", "unmount"]}
GONE_S = 60.0


def change_small_files(where: Path) -> None:
    """Rewrite 1,000 files of a few KiB each."""
    rng = random.Random(5)
    code = data.system_bytes(32 << 20)
    for folder in range(10):
        for n in range(100):
            start = rng.randrange(len(code) - 8000)
            path = where / f"part{folder // 24:02}" / f"folder{folder:03}"
            (path / f"file-{folder:03}-{n:03}.dat").write_bytes(code[start : start + 4500])


def add_big_file(where: Path) -> None:
    """Write one file of 64 MiB: three parts of program code, one that does not compress."""
    rng = random.Random(6)
    code = data.system_bytes(48 << 20)
    with (where / "added.bin").open("wb") as out:
        for start in range(0, len(code), 3 << 20):
            out.write(code[start : start + (3 << 20)])
            out.write(rng.randbytes(1 << 20))


def remove_a_folder(where: Path) -> None:
    """Delete a few files, so that a rebuild has something to leave out."""
    shutil.rmtree(where / "part00" / "folder003")


CASES: list[tuple[str, Change, list[str]]] = [
    ("append, 1,000 small files", change_small_files, ["--commit"]),
    ("append, one file of 64 MiB", add_big_file, ["--commit"]),
    ("rebuild", remove_a_folder, ["--commit", "--rebuild"]),
]


@dataclass(frozen=True)
class Run:
    """One commit."""

    seconds: float
    """Until the command came back."""
    settled_seconds: float
    """Until the WIM was on the disk and the staging folder was gone, whoever sees to it."""
    size: int


def _run(who: str, change: Change, options: list[str]) -> Run:
    """Mount a copy, change it, commit and unmount."""
    with tempfile.TemporaryDirectory(prefix="wimtui-bench-", dir=data.CACHE) as folder:
        wim = Path(folder) / "bench.wim"
        where = Path(folder) / "mnt"
        where.mkdir()
        shutil.copyfile(data.many_files_wim(), wim)
        # What is still to be written of the copy would be waited for with the commit.
        _sync(wim)
        subprocess.run([*MOUNT[who], str(wim), str(where)], check=True, stdout=subprocess.DEVNULL)
        change(where)
        command = [*UNMOUNT[who], str(where), *options]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        # wimlib-imagex returns before its daemon has cleared the staging folder away, and before
        # anything is on the disk.
        deadline = time.monotonic() + GONE_S
        while list(Path(folder).glob("*.staging*")) and time.monotonic() < deadline:
            time.sleep(0.005)
        _sync(wim)
        return Run(seconds, time.perf_counter() - start, wim.stat().st_size)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def main(repeats: int = 5) -> None:
    """Print medians, and medians of the ratios of neighbouring runs, ours and the peer's."""
    print(f"\nCommits to an LZX WIM of {data.many_files_wim().stat().st_size >> 20} MiB;")
    print("settled: until the WIM is on the disk and the staging folder is gone")
    print(
        f"{'':28}{'wimtui':>9}{'wimlib':>9}{'ratio':>7}{'settled':>9}{'size':>9}   bars 1.30, 1.01"
    )
    for name, change, options in CASES:
        pairs = [
            (_run("wimtui", change, options), _run("wimlib", change, options))
            for _ in range(repeats)
        ]
        ours, peer = (statistics.median(pair[who].seconds for pair in pairs) for who in (0, 1))
        ratio = statistics.median(a.seconds / b.seconds for a, b in pairs)
        settled = statistics.median(a.settled_seconds / b.settled_seconds for a, b in pairs)
        size = pairs[0][0].size / pairs[0][1].size
        print(f"{name:28}{ours:8.3f}s{peer:8.3f}s{ratio:7.2f}{settled:9.2f}{size:9.4f}")
