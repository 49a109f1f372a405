"""Read-only mounts: time to mount, walk, stream and seek, ours beside wimlib-imagex's."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data

Measure = Callable[[Path], None]
BIG_NBYTES = 900 << 20
RANDOM_READS = 2000


@dataclass(frozen=True)
class Step:
    """One thing that is timed."""

    name: str
    measure: Measure
    bar: float
    """The most that our time may be of the peer's."""


@dataclass(frozen=True)
class Figure:
    """What one step took."""

    wall_s: float
    daemon_cpu_s: float


@dataclass(frozen=True)
class Run:
    """One mount from beginning to end."""

    figures: dict[str, Figure]
    resident_nbytes: int
    """After all steps; what the kernel caches of the files is not among it."""


@dataclass(frozen=True)
class Mounter:
    """How one of the two mounts, unmounts, and which process serves."""

    name: str
    command: tuple[str, ...]
    find_daemon: Callable[[Path], int]

    def run(self, *arguments: str | Path) -> str:
        """Run one of its commands; return what it prints."""
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ).stdout


def _our_daemon(where: Path) -> int:
    mounts = json.loads(OURS.run("mounts", "--json"))
    return next(int(mount["pid"]) for mount in mounts if mount["mount_point"] == str(where))


def _peer_daemon(where: Path) -> int:
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"wimlib-imagex" in words[0] and os.fsencode(where) in words:
            return int(entry.name)
    raise RuntimeError("no wimlib-imagex serves the mount")


OURS = Mounter("wimtui", (sys.executable, "-m", "wimtui"), _our_daemon)
PEER = Mounter("wimlib", ("wimlib-imagex",), _peer_daemon)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, in the program and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_nbytes(pid: int) -> int:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) << 10


def shell(command: str) -> Measure:
    """Return a measure that runs a shell command in the mount point."""

    def run(where: Path) -> None:
        subprocess.run(["sh", "-c", command], cwd=where, check=True, stdout=subprocess.DEVNULL)

    return run


def random_reads(where: Path) -> None:
    """Read 4 KiB at random places of the big file, nothing of it in the page cache."""
    rng = random.Random(9)
    fd = os.open(where / "big.bin", os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for _ in range(RANDOM_READS):
            offset = rng.randrange(BIG_NBYTES // 4096) * 4096
            if len(os.pread(fd, 4096, offset)) != 4096:
                raise RuntimeError(f"a short read at {offset}")
    finally:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def small_solid_files(where: Path) -> None:
    """Read the first bytes of 100 random small files of the ESD."""
    rng = random.Random(11)
    for n in rng.sample(range(12_000), 100):
        with (where / f"folder{n // 200:02}" / f"file-{n:05}.dat").open("rb") as file:
            if not file.read(100):
                raise RuntimeError("an empty file")


LZX_STEPS = (
    Step("find -ls, cold", shell("find . -ls"), 0.3),
    Step("find -ls, again", shell("find . -ls"), 0.3),
    Step("random 4 KiB reads", random_reads, 1.0),
    Step("tar cf - . | cat", shell("tar cf - --exclude=big.bin . | cat"), 0.5),
    Step("tar cf - . | cat, again", shell("tar cf - --exclude=big.bin . | cat"), 0.5),
    Step("sequential read, 900 MB", shell("cat big.bin"), 0.8),
)
ESD_STEPS = (Step("100 random small files", small_solid_files, 0.05),)


@contextmanager
def mounted(mounter: Mounter, wim: Path) -> Iterator[tuple[Path, Figure]]:
    """Mount; gives the mount point and what it took until its root could be listed."""
    # No TemporaryDirectory: what cleans up must never walk into a mount.
    where = Path(tempfile.mkdtemp(prefix="wimtui-bench-mount-"))
    start = time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    mounter.run("mount", wim, where)
    list(where.iterdir())
    wall_s = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    command_cpu_s = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    try:
        yield where, Figure(wall_s, command_cpu_s + cpu_seconds(mounter.find_daemon(where)))
    finally:
        mounter.run("unmount", where)
        where.rmdir()


def run_steps(mounter: Mounter, wim: Path, steps: Sequence[Step]) -> Run:
    """Mount, take every step once, unmount."""
    with mounted(mounter, wim) as (where, mounting):
        pid = mounter.find_daemon(where)
        figures = {"mount": mounting}
        for step in steps:
            cpu_s = cpu_seconds(pid)
            start = time.perf_counter()
            step.measure(where)
            wall_s = time.perf_counter() - start
            figures[step.name] = Figure(wall_s, cpu_seconds(pid) - cpu_s)
        return Run(figures, resident_nbytes(pid))


def report(title: str, wim: Path, steps: Sequence[Step], repeats: int) -> None:
    """Print medians, and the median of the ratios of runs side by side.

    Both programs run in turn. The wall time counts; CPU time of the process that serves is less
    moved by what else the machine does.
    """
    wim.read_bytes()
    ours: list[Run] = []
    peer: list[Run] = []
    for _ in range(repeats):
        ours.append(run_steps(OURS, wim, steps))
        peer.append(run_steps(PEER, wim, steps))
    print(f"\n{title} ({wim.stat().st_size >> 20} MiB, median of {repeats})")
    print(f"{'':26}{'wall, s':>22}{'':15}{'CPU of the daemon, s':>24}")
    heads = f"{'wimtui':>11}{'wimlib':>11}{'ratio':>8}"
    print(f"{'':26}{heads}{'bar':>7}{heads}")
    bars = {"mount": "0.6 s", **{step.name: f"{step.bar:.2f}" for step in steps}}
    for name, bar in bars.items():
        pairs = [(a.figures[name], b.figures[name]) for a, b in zip(ours, peer, strict=True)]
        wall = _columns([(a.wall_s, b.wall_s) for a, b in pairs])
        cpu = _columns([(a.daemon_cpu_s, b.daemon_cpu_s) for a, b in pairs])
        print(f"{name:26}{wall}{bar:>7}{cpu}", flush=True)
    rss = [_median([run.resident_nbytes for run in runs]) / 2**20 for runs in (ours, peer)]
    print(f"{'resident memory':26}{rss[0]:7.0f} MiB{rss[1]:7.0f} MiB")


def _columns(pairs: Sequence[tuple[float, float]]) -> str:
    ours, peer = (_median(values) for values in zip(*pairs, strict=True))
    # The clock of CPU times ticks a hundred times a second.
    ratio = _median([a / max(b, 0.01) for a, b in pairs])
    return f"{ours:11.3f}{peer:11.3f}{ratio:8.3f}"


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def main(repeats: int = 3) -> None:
    """Run the two reports of read-only mounts."""
    title = "50,400 small files and one of 900 MB, LZX"
    report(title, data.many_files_wim(), LZX_STEPS, repeats)
    report("Solid LZMS (ESD), 12,000 files", data.solid_wim(), ESD_STEPS, 1)
