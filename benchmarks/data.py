"""The trees and WIMs that benchmarks read; made once and kept in a cache folder."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("WIMTUI_BENCH_DIR", "/tmp/wimtui-bench"))


def wimlib(*args: str | Path) -> None:
    """Run wimlib-imagex; fails with its own words."""
    subprocess.run(["wimlib-imagex", *map(str, args)], check=True, stdout=subprocess.DEVNULL)


def _text(rng: random.Random, vocabulary: list[bytes], nbytes: int) -> bytes:
    out = bytearray()
    while len(out) < nbytes:
        out += b" ".join(rng.choices(vocabulary, k=400)) + b"\n"
    return bytes(out[:nbytes])


def _vocabulary(rng: random.Random) -> list[bytes]:
    return [bytes(rng.choices(range(97, 123), k=rng.randint(2, 11))) for _ in range(4000)]


def system_bytes(limit: int) -> bytes:
    """Return real program code and data of this machine, at most ``limit`` bytes."""
    out = bytearray()
    libraries = sorted(Path("/usr/lib/x86_64-linux-gnu").glob("*.so*"))
    for path in [*sorted(Path("/usr/bin").iterdir()), *libraries]:
        if path.is_file() and not path.is_symlink():
            out += path.read_bytes()
        if len(out) >= limit:
            break
    return bytes(out[:limit])


def mixed_sample() -> bytes:
    """Return 24 MB in turns of 1 MB: this machine's programs, its data files, and made-up text.

    Taken from /usr in the order of names, so the same on every run of one machine.
    """
    rng = random.Random(7)
    code = system_bytes(8 << 20)
    shared = bytearray()
    for path in sorted(Path("/usr/share").rglob("*")):
        if path.is_file() and not path.is_symlink():
            shared += path.read_bytes()[: 1 << 18]
        if len(shared) >= 8 << 20:
            break
    text = _text(rng, _vocabulary(rng), 8 << 20)
    pieces = []
    for start in range(0, 8 << 20, 1 << 20):
        pieces += [bytes(kind[start : start + (1 << 20)]) for kind in (code, shared, text)]
    return b"".join(pieces)


def many_files_tree() -> Path:
    """Return a tree of 50,400 small files in 504 folders (about 260 MB) and one 900 MB file."""
    root = CACHE / "tree"
    if (root / ".complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    rng = random.Random(3)
    vocabulary = _vocabulary(rng)
    text = _text(rng, vocabulary, 8 << 20)
    code = system_bytes(96 << 20)
    for folder in range(504):
        place = root / f"part{folder // 24:02}" / f"folder{folder:03}"
        place.mkdir(parents=True)
        for n in range(100):
            nbytes = int(rng.lognormvariate(8.0, 0.9))
            source = text if n % 2 else code
            start = rng.randrange(len(source) - nbytes)
            (place / f"file-{folder:03}-{n:03}.dat").write_bytes(source[start : start + nbytes])
    _write_big(root / "big.bin", code, text, rng)
    (root / ".complete").touch()
    return root


def _write_big(path: Path, code: bytes, text: bytes, rng: random.Random) -> None:
    with path.open("wb") as out:
        while out.tell() < 900 << 20:
            source = text if rng.random() < 0.4 else code
            start = rng.randrange(len(source) - (4 << 20))
            out.write(source[start : start + (4 << 20)])
        out.truncate(900 << 20)


def many_files_wim() -> Path:
    """Return the LZX WIM of that tree."""
    path = CACHE / "many.wim"
    if not path.exists():
        wimlib("capture", many_files_tree(), path.with_suffix(".new"), "many", "--compress=LZX",
               "--no-acls")  # fmt: skip
        path.with_suffix(".new").rename(path)
    return path


def solid_tree() -> Path:
    """Return a tree of 12,000 files, about 170 MB."""
    root = CACHE / "solid-tree"
    if (root / ".complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    rng = random.Random(4)
    text = _text(rng, _vocabulary(rng), 8 << 20)
    code = system_bytes(96 << 20)
    for n in range(12_000):
        place = root / f"folder{n // 200:02}"
        place.mkdir(parents=True, exist_ok=True)
        nbytes = int(rng.lognormvariate(9.1, 0.9))
        source = text if n % 2 else code
        start = rng.randrange(len(source) - nbytes)
        (place / f"file-{n:05}.dat").write_bytes(source[start : start + nbytes])
    (root / ".complete").touch()
    return root


def solid_wim() -> Path:
    """Return the solid LZMS (ESD) WIM of that tree."""
    path = CACHE / "solid.esd"
    if not path.exists():
        wimlib("capture", solid_tree(), path.with_suffix(".new"), "solid", "--solid", "--no-acls")
        path.with_suffix(".new").rename(path)
    return path
