"""Kills at any moment: whatever was answered is there afterwards."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.staging.base_image import FILE, Mount
from wimtui.engine.staging.overlay import Overlay
from wimtui.engine.staging.store import StagingStore
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = int(os.environ.get("WIMTUI_KILLS", "15"))
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Told:
    """What the storm's lines say: each file's data, attribute, and what may have come true."""

    data: dict[str, bytearray] = field(default_factory=dict)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    unsure: list[str] = field(default_factory=list)
    """Words of the operation that was begun and not answered."""

    def apply(self, words: list[str]) -> None:
        match words:
            case ["create", name]:
                self.data[name] = bytearray()
            case ["wrote", name]:
                offset, data = int(self.unsure[2]), bytes.fromhex(self.unsure[3])
                write(self.data[name], offset, data)
            case ["renamed", name, new]:
                self.data[new] = self.data.pop(name)
                if name in self.xattrs:
                    self.xattrs[new] = self.xattrs.pop(name)
            case ["removed", name]:
                del self.data[name]
                self.xattrs.pop(name, None)
            case ["cut", name]:
                cut(self.data[name], int(self.unsure[2]))
            case ["set", name, folder]:
                self.xattrs[name] = bytes.fromhex(self.unsure[2])
                self.folders.add(folder)
            case _:
                self.unsure = words
                return
        self.unsure = []


def write(data: bytearray, offset: int, piece: bytes) -> None:
    data += bytes(max(0, offset - len(data)))
    data[offset : offset + len(piece)] = piece


def cut(data: bytearray, size: int) -> None:
    del data[size:]
    data += bytes(size - len(data))


def possible(data: bytearray, unsure: list[str]) -> Iterator[bytes]:
    """Yield what a file may hold; a write that was not answered may be cut at a page."""
    if unsure[0] == "cutting":
        allowed = bytearray(data)
        cut(allowed, int(unsure[2]))
        yield bytes(allowed)
        return
    piece = bytes.fromhex(unsure[3])
    for nbytes in range(len(piece) + 1):
        allowed = bytearray(data)
        write(allowed, int(unsure[2]), piece[:nbytes])
        yield bytes(allowed)


def check(mount: Mount, told: Told) -> int:
    """Compare; return how many files there are. What is unsure is made sure."""
    overlay = mount.overlay
    there = {name.decode() for name, _ in overlay.list_directory(ROOT_INO) if name[:1] == b"f"}
    unsure = told.unsure
    if unsure and unsure[0] == "renaming" and unsure[2] in there:
        told.apply(["renamed", unsure[1], unsure[2]])
    elif unsure and unsure[0] == "removing" and unsure[1] not in there:
        told.apply(["removed", unsure[1]])
    surplus = there - told.data.keys()
    # A file may have been made by a create that was never answered.
    assert len(surplus) <= (0 if unsure else 1)
    for name in surplus:
        told.data[name] = bytearray()
    assert told.data.keys() == there
    for name, data in told.data.items():
        found = mount.read(b"/" + name.encode())
        if found != data:
            assert unsure[:2] in (["writing", name], ["cutting", name])
            assert found in possible(data, unsure)
            data[:] = found
        ino = mount.ino(b"/" + name.encode())
        value = overlay.get_xattr(ino, b"user.x") if overlay.list_xattrs(ino) else None
        if value != told.xattrs.get(name):
            assert unsure[:2] == ["setting", name]
            assert value == bytes.fromhex(unsure[2])
            told.xattrs[name] = value
    for folder in told.folders:
        assert mount.has(b"/" + folder.encode())
    told.unsure = []
    return len(there)


@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_was_answered(mount: Mount) -> None:
    folder = mount.overlay.store.folder
    mount.overlay.close()
    told = Told()
    rng = random.Random(4)
    operations = 0
    for kill in range(KILLS):
        process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("storm.py")),
                str(REPOSITORY),
                str(folder),
                str(mount.wim),
                str(kill),
            ],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        timer = threading.Timer(rng.uniform(0.0, 0.15), process.kill)
        timer.start()
        lines = process.stdout.read().split(b"\n")
        process.wait()
        timer.cancel()
        process.stdout.close()
        # What follows the last newline was cut off: its operation is not begun, or not answered.
        for line in lines[:-1]:
            operations += 1
            told.apply(line.decode().split(" "))
        mount.overlay = Overlay(
            mount.archive.image(1), mount.archive.blobs, StagingStore.open(folder)
        )
        check(mount, told)
        mount.overlay.close()
    print(f"{KILLS} kills, {operations} lines")
    assert operations > KILLS


def test_a_remount_of_ten_thousand_changes(mount: Mount) -> None:
    overlay = mount.overlay
    for number in range(100):
        folder = mount.make_directory(b"/d%02d" % number)
        for file in range(99):
            overlay.create_node(folder, b"file %d" % file, FILE)
    began = time.perf_counter()
    overlay = mount.reopen()
    took = time.perf_counter() - began
    print(f"10,000 changes are back after {took * 1000:.0f} ms")
    assert len(overlay.list_directory(mount.ino(b"/d50"))) == 99
    assert len(overlay.layer.nodes) == 10_001


def test_two_processes_cannot_have_one_staging(mount: Mount) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from wimtui.engine.errors import LockedError\n"
        "from wimtui.engine.staging.store import StagingStore\n"
        "try:\n    StagingStore.open(Path(sys.argv[2]))\n"
        "except LockedError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(REPOSITORY), str(mount.overlay.store.folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "in use by another process" in done.stdout
