"""What an fsync has answered is there after a power cut, on a disk that loses all else it may.

Real daemon, real SQLite, real mount; the staging folder lies on a file system that tells what was
synced from what was not (``lossy_disk``), and is shown as a power cut could have left it.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.dice import thrown_seed
from tests.mounting import mount_point, wimtui
from tests.readwrite.mounts import copied_sample, mounted_rw

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.dice]

ROOT: Final = Path(__file__).resolve().parents[2]
CUTS: Final = int(os.environ.get("WIMTUI_POWER_CUTS", "3"))
"""Moments after the one when the mount stands; each is looked at in three states."""


@contextmanager
def lossy_disk() -> Iterator[Path]:
    with mount_point() as where:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.readwrite.lossy_disk", where], cwd=ROOT
        )
        try:
            end = time.monotonic() + 30
            while not where.is_mount():
                assert server.poll() is None
                assert time.monotonic() < end
                time.sleep(0.01)
            yield where
        finally:
            subprocess.run(["fusermount3", "-u", where], check=True)
            assert server.wait(30) == 0


@dataclass
class Storm:
    """Changes files in a mount, and knows which of it has been synced."""

    mount: Path
    rng: random.Random
    synced: dict[str, bytes] = field(default_factory=dict)
    """Files with their content that have to be there after a cut."""
    gone: set[str] = field(default_factory=set)
    """Names that must not be there."""
    _names: dict[str, str] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _loose: list[str] = field(default_factory=list)
    _made: int = 0

    def play(self) -> None:
        """Some steps, of which the last is seldom a sync."""
        for _ in range(self.rng.randrange(10, 25)):
            self.rng.choice([self.make, self.make, self.write_on, self.rename, self.delete])()

    def make(self) -> None:
        """Write a new file, or one of the image anew; sync it or not."""
        self._made += 1
        name = f"made {self._made}"
        if self.rng.random() < 0.3:
            folder = self.mount / f"folder {self._made}"
            folder.mkdir()
            name = f"folder {self._made}/{name}"
        data = self.rng.randbytes(self.rng.choice([1, 700, 5000, 90_000]))
        with (self.mount / name).open("wb") as file:
            file.write(data)
            file.flush()
            if self.rng.random() < 0.5:
                os.fsync(file.fileno())
                self._is_synced(name, data)
            else:
                self._loose.append(name)

    def write_on(self) -> None:
        """Change what never was synced, here and there."""
        if self._loose:
            with (self.mount / self.rng.choice(self._loose)).open("r+b") as file:
                file.seek(self.rng.randrange(20_000))
                file.write(self.rng.randbytes(5000))

    def rename(self) -> None:
        """Rename a synced file; the new name is certain from the next sync on."""
        certain = sorted(set(self.synced) - set(self._names) - self._gone)
        if certain:
            old = self.rng.choice(certain)
            self._made += 1
            self._names[old] = f"renamed {self._made}"
            (self.mount / old).rename(self.mount / self._names[old])

    def delete(self) -> None:
        """Delete a synced file; it is certainly gone from the next sync on."""
        certain = sorted(set(self.synced) - set(self._names) - self._gone)
        if certain:
            name = self.rng.choice(certain)
            self._gone.add(name)
            (self.mount / name).unlink()

    def _is_synced(self, name: str, data: bytes) -> None:
        for old, new in self._names.items():
            self.synced[new] = self.synced.pop(old)
            self.gone.add(old)
        for deleted in self._gone:
            del self.synced[deleted]
        self.gone |= self._gone
        self._names.clear()
        self._gone.clear()
        self.synced[name] = data

    def expected(self) -> tuple[dict[str, bytes], set[str]]:
        """What must be there and what not; either is right of what was not synced."""
        unsure = set(self._names) | self._gone
        return {n: data for n, data in self.synced.items() if n not in unsure}, set(self.gone)


def check(root: Path, files: dict[str, bytes], gone: set[str]) -> None:
    """Compare with what was synced, and read all there is."""
    for name, data in files.items():
        assert (root / name).read_bytes() == data, name
    for name in gone:
        assert not (root / name).exists(), name
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.read_bytes()
    assert (root / "setup.exe").stat().st_size > 0


def test_what_was_synced_survives_a_power_cut(tmp_path: Path) -> None:
    rng = random.Random(thrown_seed())
    wim = copied_sample(tmp_path)
    cuts = []
    with lossy_disk() as disk, mounted_rw(wim, "--staging-dir", str(disk)) as mounted:
        storm = Storm(mounted.path, rng)
        for number in range(CUTS + 1):
            if number:
                storm.play()
            for state in (0, rng.randrange(1, 1 << 32), rng.randrange(1, 1 << 32)):
                folder = tmp_path / f"cut-{number}-{state}"
                os.setxattr(disk, b"user.crash", b"%b\0%d" % (os.fsencode(folder), state))
                cuts.append((folder, storm.expected()))
    synced = 0
    for folder, (files, gone) in cuts:
        (staging,) = folder.iterdir()
        with mount_point() as where:
            wimtui("remount", staging, where)
            try:
                check(where, files, gone)
            finally:
                wimtui("unmount", where, "--force", "--discard")
        synced += len(files) + len(gone)
    print(f"{len(cuts)} states after a power cut, {synced} synced names checked, none lost")
    assert synced > 0
