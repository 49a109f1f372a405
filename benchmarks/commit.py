"""Commits of a read-write mount: append and rebuild, ours beside wimlib-imagex's."""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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


def _run(who: str, change: Change, options: list[str]) -> tuple[float, int]:
    """Return the seconds of the commit, and the bytes of the WIM after it."""
    with tempfile.TemporaryDirectory(prefix="wimtui-bench-", dir=data.CACHE) as folder:
        wim = Path(folder) / "bench.wim"
        where = Path(folder) / "mnt"
        where.mkdir()
        shutil.copyfile(data.many_files_wim(), wim)
        subprocess.run([*MOUNT[who], str(wim), str(where)], check=True, stdout=subprocess.DEVNULL)
        change(where)
        command = [*UNMOUNT[who], str(where), *options]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        # wimlib-imagex returns before its daemon has cleared the staging folder away.
        deadline = time.monotonic() + GONE_S
        while list(Path(folder).glob("*.staging*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        return seconds, wim.stat().st_size


def main(repeats: int = 5) -> None:
    """Print medians, and the median of the ratios of neighbouring runs, ours and the peer's."""
    print(f"\nCommits to an LZX WIM of {data.many_files_wim().stat().st_size >> 20} MiB")
    print(f"{'':28}{'wimtui':>10}{'wimlib':>10}{'ratio':>8}{'size':>9}   bars 1.30, 1.01")
    for name, change, options in CASES:
        runs = [
            (_run("wimtui", change, options), _run("wimlib", change, options))
            for _ in range(repeats)
        ]
        ours, peer = (statistics.median(run[who][0] for run in runs) for who in (0, 1))
        ratio = statistics.median(run[0][0] / run[1][0] for run in runs)
        size = runs[0][0][1] / runs[0][1][1]
        print(f"{name:28}{ours:9.3f}s{peer:9.3f}s{ratio:8.3f}{size:9.4f}")
