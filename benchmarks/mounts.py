"""Read-only mounts: time to mount, walk, stream and seek, ours beside wimlib-imagex's."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data

Measure = Callable[[Path], None]


@dataclass(frozen=True)
class Mounter:
    """How one of the two mounts and unmounts."""

    name: str
    mount: Callable[[Path, Path], list[str]]
    unmount: Callable[[Path], list[str]]


WIMTUI = [sys.executable, "-m", "wimtui"]
OURS = Mounter(
    "wimtui",
    lambda wim, where: [*WIMTUI, "mount", str(wim), str(where)],
    lambda where: [*WIMTUI, "unmount", str(where)],
)
PEER = Mounter(
    "wimlib",
    lambda wim, where: ["wimlib-imagex", "mount", str(wim), str(where)],
    lambda where: ["wimlib-imagex", "unmount", str(where)],
)


def timed(action: Callable[[], object]) -> float:
    """Return the seconds an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def daemon_rss(mountpoint: Path) -> int:
    """Return the resident bytes of the process that serves a mount."""
    needle = os.fsencode(str(mountpoint))
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            argv = (entry / "cmdline").read_bytes()
            if needle in argv or b"wimtui.daemon" in argv:
                status = (entry / "status").read_text()
                return int(status.split("VmRSS:")[1].split()[0]) << 10
        except (OSError, IndexError):
            continue
    return 0


@contextmanager
def mounted(mounter: Mounter, wim: Path) -> Iterator[tuple[Path, float]]:
    """Mount; gives the mount point and the seconds until its root could be listed."""
    with tempfile.TemporaryDirectory(prefix="wimtui-bench-") as folder:
        where = Path(folder) / "mnt"
        where.mkdir()

        def ready() -> None:
            subprocess.run(mounter.mount(wim, where), check=True, stdout=subprocess.DEVNULL)
            list(where.iterdir())

        seconds = timed(ready)
        try:
            yield where, seconds
        finally:
            subprocess.run(mounter.unmount(where), check=True, stdout=subprocess.DEVNULL)


def shell(command: str) -> Measure:
    """Return a measure that runs a shell command in the mount point."""

    def run(where: Path) -> None:
        subprocess.run(["sh", "-c", command], cwd=where, check=True, stdout=subprocess.DEVNULL)

    return run


def random_reads(where: Path) -> None:
    """Read 4 KiB at 3,000 random places of the big file, with no readahead."""
    rng = random.Random(9)
    fd = os.open(where / "big.bin", os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for _ in range(3000):
            assert len(os.pread(fd, 4096, rng.randrange((900 << 20) // 4096) * 4096)) == 4096
    finally:
        os.close(fd)


def small_solid_files(where: Path) -> None:
    """Read the first bytes of 100 random small files of the ESD."""
    rng = random.Random(11)
    for n in rng.sample(range(12_000), 100):
        with (where / f"folder{n // 200:02}" / f"file-{n:05}.dat").open("rb") as file:
            assert file.read(100)


STEPS: list[tuple[str, Measure, float]] = [
    ("find -ls, cold", shell("find . -ls"), 0.3),
    ("find -ls, again", shell("find . -ls"), 0.3),
    ("tar cf - . | cat", shell("tar cf - --exclude=big.bin . | cat"), 0.5),
    ("sequential read, 900 MB", shell("cat big.bin"), 0.8),
    ("random 4 KiB reads", random_reads, 1.0),
]


def _run(mounter: Mounter, wim: Path, steps: list[tuple[str, Measure, float]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    with mounted(mounter, wim) as (where, seconds):
        figures["mount"] = seconds
        for name, measure, _ in steps:
            figures[name] = timed(lambda measure=measure: measure(where))  # type: ignore[misc]
        figures["rss"] = daemon_rss(where)
    return figures


def report(title: str, wim: Path, steps: list[tuple[str, Measure, float]], repeats: int) -> None:
    """Print a table of medians and ratios; both programs run in turn, ``repeats`` times."""
    runs: dict[str, list[dict[str, float]]] = {"wimtui": [], "wimlib": []}
    for _ in range(repeats):
        for mounter in (OURS, PEER):
            runs[mounter.name].append(_run(mounter, wim, steps))
    print(f"\n{title} ({wim.stat().st_size >> 20} MiB, median of {repeats})")
    print(f"{'':28}{'wimtui':>10}{'wimlib':>10}{'ratio':>8}{'bar':>7}")
    bars = {"mount": 0.0, **{name: bar for name, _, bar in steps}}
    for name, bar in bars.items():
        ours, peer = (_median([run[name] for run in runs[who]]) for who in ("wimtui", "wimlib"))
        wanted = "0.6 s" if name == "mount" else f"{bar:.2f}"
        print(f"{name:28}{ours:9.3f}s{peer:9.3f}s{ours / peer:8.3f}{wanted:>7}")
    rss = [_median([run["rss"] for run in runs[who]]) / 2**20 for who in ("wimtui", "wimlib")]
    print(f"{'resident memory':28}{rss[0]:7.0f}MiB{rss[1]:7.0f}MiB")


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def main(repeats: int = 3) -> None:
    """Run the two reports of read-only mounts."""
    report("50,400 small files and one of 900 MB, LZX", data.many_files_wim(), STEPS, repeats)
    esd = [("100 random small files", small_solid_files, 0.05)]
    report("Solid LZMS (ESD), 12,000 files", data.solid_wim(), esd, 1)
