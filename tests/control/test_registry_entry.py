"""Registry files: whole at every moment, alive as long as the daemon, safe to read for root."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wimtui.control.errors import RegistryError
from wimtui.control.protocol import DaemonState
from wimtui.control.registry_entry import (
    RegistryEntry,
    RegistryFile,
    mounts_folder,
    new_mount_id,
)
from wimtui.control.registry_folder import RegistryFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PATHS = st.binary(max_size=300).map(
    lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)


def new_entry(**changes: object) -> RegistryEntry:
    entry = RegistryEntry.for_this_process(new_mount_id(), "/images/a b.wim", "/mnt/point")
    return dataclasses.replace(entry, **changes)  # type: ignore[arg-type]


@given(PATHS, PATHS, st.sampled_from(DaemonState), st.integers(0, 2**22), st.floats(0, 1e12))
def test_entries_come_back(
    wim: str, point: str, state: DaemonState, number: int, created: float
) -> None:
    entry = RegistryEntry(
        new_mount_id(), wim, point, state=state, pid=number, created=created, options={"a": [1]}
    )
    assert RegistryEntry.parse(entry.pack()) == entry


def test_fields_of_later_versions_are_ignored() -> None:
    entry = new_entry()
    raw = {**json.loads(entry.pack()), "colour": "red"}
    assert RegistryEntry.parse(json.dumps(raw).encode()) == entry


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"pid": "1"},
        {"pid": 2**40},
        {"created": -5.0},
        {"mount_point": "\ud800"},
        {"mount_point": "/a\0b"},
        {"state": "sideways"},
        {"mount_id": "../../etc"},
        {"wim_path": None},
    ],
)
def test_what_is_no_entry(change: dict[str, object]) -> None:
    raw = {**json.loads(new_entry().pack()), **change}
    with pytest.raises(ValueError, match=r"."):
        RegistryEntry.parse(json.dumps(raw).encode())


@pytest.mark.parametrize("packed", [b"", b"{", b"[]", b"[" * 100_000, b'{"v":1}'])
def test_bytes_that_are_no_entry(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        RegistryEntry.parse(packed)


def test_a_file_is_private_and_alive_until_it_is_closed(runtime: Path) -> None:
    folder = RegistryFolder(runtime)
    file = RegistryFile.create(new_entry())
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert mounts_folder(runtime).stat().st_mode & 0o777 == 0o700
    found = folder.find(file.entry.mount_id)
    assert found is not None
    assert (found.entry, found.alive, found.path) == (file.entry, True, file.path)
    file.update(state=DaemonState.OK, device="0:77")
    (found,) = folder.entries()
    assert (found.entry.state, found.entry.device, found.alive) == (DaemonState.OK, "0:77", True)
    assert not folder.remove_dead(file.entry.mount_id)
    file.close()
    (found,) = folder.entries()
    assert not found.alive
    assert folder.remove_dead(file.entry.mount_id)
    assert folder.entries() == ()


def test_remove_leaves_nothing(runtime: Path) -> None:
    file = RegistryFile.create(new_entry())
    file.remove()
    file.remove()
    assert list(mounts_folder(runtime).iterdir()) == []


def test_a_file_that_vanished_is_written_again(runtime: Path) -> None:
    with RegistryFile.create(new_entry()) as file:
        file.ensure()
        before = file.path.stat().st_ino
        file.ensure()
        assert file.path.stat().st_ino == before
        file.path.unlink()
        mounts_folder(runtime).rmdir()
        file.ensure()
        (found,) = RegistryFolder(runtime).entries()
        assert found.alive


def test_readers_see_one_whole_living_entry_at_every_moment(runtime: Path) -> None:
    folder = RegistryFolder(runtime)
    file = RegistryFile.create(new_entry())
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            file.update(pid=number, image_name="n" * (number % 500))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(500):
            found = folder.find(file.entry.mount_id)
            assert found is not None
            assert found.alive
            assert len(found.entry.image_name) == found.entry.pid % 500 or found.entry.pid > 500
    finally:
        stop.set()
        writer.join()
        file.remove()


@contextlib.contextmanager
def holder() -> Iterator[subprocess.Popen[str]]:
    code = (
        "import time\nfrom wimtui.control.registry_entry import *\n"
        "file = RegistryFile.create(RegistryEntry.for_this_process(new_mount_id(), '/w', '/m'))\n"
        "print(file.entry.mount_id, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def test_a_killed_process_is_seen_as_dead(runtime: Path) -> None:
    folder = RegistryFolder(runtime)
    with holder() as child:
        assert child.stdout is not None
        mount_id = child.stdout.readline().strip()
        found = folder.find(mount_id)
        assert found is not None
        assert found.alive
        assert found.entry.pid == child.pid
        os.kill(child.pid, signal.SIGKILL)
        # Not waited for: a zombie holds no lock either.
        end = time.monotonic() + 10
        while (found := folder.find(mount_id)) is not None and found.alive:
            assert time.monotonic() < end
    assert found is not None


def test_what_others_planted_is_ignored(runtime: Path) -> None:
    folder = RegistryFolder(runtime)
    RegistryFile.create(new_entry()).close()
    mounts = mounts_folder(runtime)
    (original,) = mounts.iterdir()
    (mounts / f"{new_mount_id()}.json").symlink_to(original)
    (mounts / f"{new_mount_id()}.json").write_bytes(original.read_bytes())
    (mounts / f"{new_mount_id()}.json").write_text("{", encoding="ascii")
    (mounts / f"{new_mount_id()}.json").mkdir()
    os.mkfifo(mounts / f"{new_mount_id()}.json")
    assert [found.path for found in folder.entries()] == [original]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_entries_of_other_users(runtime: Path) -> None:
    file = RegistryFile.create(new_entry(uid=65534))
    file.close()
    assert RegistryFolder(runtime).entries() == ()
    assert RegistryFolder(runtime, 65534).entries() == ()
    os.chown(mounts_folder(runtime), 65534, -1)
    assert RegistryFolder(runtime, 65534).entries() == ()
    os.chown(file.path, 65534, -1)
    assert len(RegistryFolder(runtime, 65534).entries()) == 1


def test_a_link_for_a_folder_is_refused(runtime: Path, tmp_path: Path) -> None:
    runtime.mkdir()
    (tmp_path / "elsewhere").mkdir()
    mounts_folder(runtime).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RegistryError, match="is no folder"):
        RegistryFile.create(new_entry())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_rubbish_goes_once_it_is_old(runtime: Path) -> None:
    folder = RegistryFolder(runtime)
    with RegistryFile.create(new_entry()) as file:
        rubbish = mounts_folder(runtime) / f"{new_mount_id()}.new"
        rubbish.write_text("", encoding="ascii")
        folder.remove_rubbish(60)
        assert rubbish.exists()
        folder.remove_rubbish(0)
        assert not rubbish.exists()
        assert file.path.exists()
