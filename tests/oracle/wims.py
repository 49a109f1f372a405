"""WIMs of every kind, made by wimlib-imagex from one source tree."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

WIMLIB = shutil.which("wimlib-imagex")


def wimlib(*args: str | Path) -> str:
    """Run wimlib-imagex and return what it prints; its words are in the exception on failure."""
    assert WIMLIB is not None
    done = subprocess.run(
        [WIMLIB, *map(str, args)], capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode != 0:
        raise AssertionError(f"wimlib-imagex {args} exited {done.returncode}: {done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Kind:
    """One kind of WIM: how to make it and how to open it."""

    name: str
    capture: tuple[str, ...]
    split: bool = False
    delta: bool = False
    unix_data: bool = False
    streams: bool = False


@dataclass(frozen=True)
class MadeWim:
    """A WIM on disk with the options it takes to open it whole."""

    kind: Kind
    path: Path
    refs: list[str] = field(default_factory=list)

    @property
    def ref_options(self) -> list[str]:
        return [f"--ref={ref}" for ref in self.refs]


def _compressed(codec: str, chunk: int) -> Kind:
    return Kind(f"{codec}-{chunk}", (f"--compress={codec}", f"--chunk-size={chunk}"))


KINDS = [
    Kind("none", ("--compress=none",)),
    *(_compressed("XPRESS", 1 << n) for n in range(12, 17)),
    *(_compressed("LZX", 1 << n) for n in range(15, 22)),
    *(_compressed("LZMS", 1 << n) for n in (15, 17, 20)),
    *(
        Kind(f"solid-{codec}", ("--solid", f"--solid-compress={codec}"))
        for codec in ("LZMS", "LZX", "XPRESS")
    ),
    Kind("solid-small-chunks", ("--solid", "--solid-compress=LZMS", "--solid-chunk-size=131072")),
    Kind("split", ("--compress=LZX",), split=True),
    Kind("delta", ("--compress=LZX",), delta=True),
    Kind("pipable", ("--compress=LZX", "--pipable")),
    Kind("pipable-xpress", ("--compress=XPRESS", "--pipable", "--chunk-size=4096")),
    Kind("unix-data", ("--compress=XPRESS", "--unix-data"), unix_data=True),
    Kind("streams", ("--compress=LZX",), streams=True),
]


def words(seed: int, nbytes: int) -> bytes:
    """Return text-like bytes that compress about three to one."""
    rng = random.Random(seed)
    vocabulary = [bytes(rng.choices(range(97, 123), k=rng.randint(2, 11))) for _ in range(900)]
    out = bytearray()
    while len(out) < nbytes:
        out += b" ".join(rng.choices(vocabulary, k=200)) + b"\n"
    return bytes(out[:nbytes])


def make_source(root: Path, *, scale: int = 1) -> Path:
    """Fill ``root`` with what the format tells apart: sizes, links, names, times."""
    root.mkdir(parents=True)
    rng = random.Random(7)
    edges = [0, 1, 5, 4095, 4096, 4097, 32767, 32768, 32769, 65536, 98304, 131073]
    for size in edges:
        (root / f"edge-{size}.txt").write_bytes(words(size, size))
    (root / "random.bin").write_bytes(rng.randbytes(200_000))
    (root / "zeros.bin").write_bytes(bytes(300_001))
    (root / "big.log").write_bytes(words(1, 1_500_000 * scale))
    mixed = b"".join(words(n, 40_000) + rng.randbytes(40_000) for n in range(10))
    (root / "mixed.bin").write_bytes(mixed)
    for library in sorted(Path("/bin").glob("?s"))[:3]:
        (root / f"elf-{library.name}").write_bytes(library.read_bytes())
    many = root / "Windows" / "System32" / "drivers"
    many.mkdir(parents=True)
    for n in range(150):
        (many / f"driver{n:03}.inf").write_bytes(words(1000 + n % 120, 300 + 37 * n))
    (root / "empty directory").mkdir()
    deep = root.joinpath(*[f"level{n}" for n in range(30)])
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("deep")
    for name in ("ünïcödé-ßtraße", "日本語.txt", "emoji-😀", "UPPER", "Mixed.Case", "a" * 200):
        (root / name).write_text(name)
    _make_links(root)
    _set_times(root)
    return root


def _make_links(root: Path) -> None:
    links = root / "links"
    links.mkdir()
    os.link(root / "big.log", links / "big-hard")
    os.link(root / "big.log", root / "Windows" / "big-hard-2")
    os.link(root / "edge-0.txt", links / "empty-hard")
    (links / "relative").symlink_to("../edge-5.txt")
    (links / "to-directory").symlink_to("../Windows/System32")
    (links / "dangling").symlink_to("no/such/target")
    (links / "absolute-outside").symlink_to("/etc/passwd")
    (links / "absolute-inside").symlink_to(root / "Windows" / "System32")
    (links / "backslash").symlink_to("a\\b/c")


def _set_times(root: Path) -> None:
    old = root / "edge-5.txt"
    os.utime(old, ns=(-5_000_000_000_123_400, -11_000_000_000_000_000_100))
    os.utime(root / "edge-1.txt", ns=(1_500_000_000_123_456_700, 4_102_444_800_999_999_900))
    os.utime(root / "empty directory", ns=(0, 0))


def add_special_files(root: Path) -> None:
    """Add what only ``--unix-data`` keeps: modes, owners, devices, a fifo, a socket."""
    special = root / "special"
    special.mkdir()
    os.mkfifo(special / "fifo", 0o640)
    os.mknod(special / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(special / "loop300", stat.S_IFBLK | 0o600, os.makedev(7, 300))
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(special / "socket"))
    bound.close()
    (special / "setuid").write_bytes(b"#!/bin/sh\n")
    (special / "setuid").chmod(0o4755)
    (special / "owned").write_bytes(b"mine")
    os.chown(special / "owned", 1234, 56789)
    (special / "private").mkdir(0o700)
    os.chown(special / "private", 4321, 0)


STREAMS = {
    "edge-5.txt": {"Zone.Identifier": b"[ZoneTransfer]\r\nZoneId=3\r\n", "empty": b""},
    "Windows": {"on-a-directory": words(5, 50_000)},
    "edge-0.txt": {"ünicode": b"x" * 65536},
}


def make_wim(kind: Kind, source: Path, folder: Path) -> MadeWim:
    """Make the WIM of one kind in ``folder``."""
    path = folder / f"{kind.name}.wim"
    extra: list[str | Path] = ["--threads=2", "--no-acls"]
    if kind.delta:
        return _make_delta(kind, source, folder)
    wimlib("capture", source, path, f"Image {kind.name}", "A description", *kind.capture, *extra)
    if kind.split:
        size_mib = path.stat().st_size / 4.5 / 2**20
        wimlib("split", path, folder / "parts.swm", f"{size_mib:.3f}")
        path.unlink()
        return MadeWim(kind, folder / "parts.swm", [str(folder / "parts*.swm")])
    if kind.streams:
        _add_streams(path, folder)
    return MadeWim(kind, path)


def _make_delta(kind: Kind, source: Path, folder: Path) -> MadeWim:
    base = folder / "base.wim"
    wimlib("capture", source / "Windows", base, "base", "--compress=XPRESS", "--no-acls")
    path = folder / "delta.wim"
    wimlib("capture", source, path, "delta", *kind.capture, f"--delta-from={base}", "--no-acls")
    return MadeWim(kind, path, [str(base)])


def _add_streams(path: Path, folder: Path) -> None:
    mountpoint = folder / "rw"
    mountpoint.mkdir()
    wimlib("mountrw", path, mountpoint)
    try:
        for name, streams in STREAMS.items():
            for stream, value in streams.items():
                os.setxattr(mountpoint / name, f"user.{stream}", value)
    finally:
        wimlib("unmount", mountpoint, "--commit")
    # wimlib-imagex returns before its daemon has let go of the mount point.
    deadline = time.monotonic() + 20
    while str(mountpoint) in Path("/proc/self/mountinfo").read_text() or any(
        folder.glob("*.staging*")
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)
