"""What is refused when a read-write mount is asked for, and who holds what."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cleaning import clean_up
from tests.mounting import mount_point, wimtui, wimtui_json
from tests.mounting import mounted as mounted_ro
from tests.oracle.wims import WIMLIB, wimlib
from tests.readwrite.mounts import Mounted, mounted_rw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse


@contextmanager
def denied(number: int) -> Iterator[None]:
    """Expect an OSError of that number."""
    try:
        yield
    except OSError as error:
        if error.errno != number:
            raise
    else:
        pytest.fail(f"no {errno.errorcode[number]}")


def refused(wim: Path, *options: str, code: int) -> str:
    """Ask for a mount that is refused; return why. Nothing is left behind."""
    before = {*wim.parent.iterdir(), wim.parent / "run", wim.parent / "state"}
    with mount_point() as where:
        said = wimtui("mountrw", wim, "1", where, *options, code=code).stderr
    assert {*wim.parent.iterdir()} <= before
    return said


def test_one_read_write_mount_and_any_number_beside_it(mounted: Mounted) -> None:
    pid = mounted.summary()["pid"]
    said = refused(mounted.wim, code=1)
    assert f"mounted read-write at {mounted.path} by process {pid}" in said
    with mounted_ro(mounted.wim), mounted_ro(mounted.wim) as other:
        (mounted.path / "new").touch()
        assert not (other / "new").exists()
    if WIMLIB is not None:
        words = [WIMLIB, "append", str(mounted.path), str(mounted.wim), "another"]
        taken = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "locked" in taken.stderr
        assert taken.returncode != 0


def test_a_flagged_wim(wim: Path) -> None:
    _flag_readonly(wim)
    said = refused(wim, code=71)
    assert "READONLY" in said
    assert "; mount it read-only" in said


def _flag_readonly(wim: Path) -> None:
    with wim.open("r+b") as file:
        file.seek(16)
        flags = int.from_bytes(file.read(4), "little")
        file.seek(16)
        file.write((flags | 0x4).to_bytes(4, "little"))


@pytest.mark.oracle
def test_a_part_of_a_split_wim(wim: Path) -> None:
    wimlib("split", wim, wim.parent / "part.swm", "0.3")
    parts = sorted(wim.parent.glob("part*.swm"))
    assert len(parts) > 1
    said = refused(parts[0], code=71)
    assert f"part 1 of a split set of {len(parts)}" in said


def test_references(wim: Path) -> None:
    other = shutil.copy(wim, wim.parent / "other.wim")
    assert "--ref" in refused(wim, f"--ref={other}", code=71)


def test_options_that_contradict(wim: Path) -> None:
    refused(wim, "-o", "ro", code=24)
    with mount_point() as where:
        wimtui("mount", wim, "1", where, "--staging-dir", str(wim.parent), code=24)
        wimtui("mountrw", wim, "1", where, "--staging-dir", "/nowhere", code=71)


def test_the_staging_folder_is_where_it_was_wanted(wim: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with mounted_rw(wim, "--staging-dir", str(elsewhere)) as mounted:
        (staging,) = elsewhere.iterdir()
        assert staging.stat().st_mode & 0o777 == 0o700
        assert mounted.stagings() == []
    assert list(elsewhere.iterdir()) == []


def test_after_a_reboot_what_is_staged_is_found(mounted: Mounted, tmp_path: Path) -> None:
    (mounted.path / "new").write_text("new")
    wimtui("unmount", mounted.path, "--keep")
    shutil.rmtree(tmp_path / "run")
    assert (mounted.summary()["status"], mounted.summary()["changes"]) == ("detached", 1)
    wimtui("remount", mounted.path)
    assert (mounted.path / "new").read_text() == "new"
    assert mounted.summary()["status"] == "ok"


def test_a_staging_folder_moved_with_its_wim_is_remounted(mounted: Mounted, tmp_path: Path) -> None:
    (mounted.path / "new").write_text("new")
    wimtui("unmount", mounted.path, "--keep")
    (staging,) = mounted.stagings()
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(mounted.wim, moved)
    shutil.move(staging, moved)
    with mount_point() as where:
        wimtui("remount", moved / staging.name, where)
        assert (where / "new").read_text() == "new"
        wimtui("unmount", where, "--discard")
    assert [path.name for path in moved.iterdir()] == [mounted.wim.name]


def test_a_wim_that_changed_meanwhile_is_refused(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mounted.path / "new").write_text("new")
    wimtui("unmount", mounted.path, "--keep")
    (staging,) = mounted.stagings()
    wimtui("set", mounted.wim, "1", "--description", "another")
    said = wimtui("remount", mounted.path, code=88).stderr
    assert "has changed" in said
    assert staging.exists()
    clean_up(monkeypatch, staging)
    assert not staging.exists()


def test_cleanup_clears_the_dead_and_spares_the_living(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mounted.path / "new").write_text("new")
    (staging,) = mounted.stagings()
    wimtui("cleanup", staging, code=24)
    assert str(mounted.path) not in clean_up(monkeypatch)["unmounted"]
    assert (mounted.path / "new").exists()
    mounted.kill()
    done = clean_up(monkeypatch)
    assert str(mounted.path) in done["unmounted"]
    assert str(staging) in done["left"]
    assert not mounted.path.is_mount()
    wimtui("remount", mounted.path)
    assert (mounted.path / "new").exists()


def test_holders_are_named(mounted: Mounted) -> None:
    with (mounted.path / "license.rtf").open("r+b"):
        (holder,) = wimtui_json("holders", mounted.path)
        assert holder["pid"] == os.getpid()
        assert holder["uses"] == [
            {
                "what": "a file open for reading and writing",
                "path": str(mounted.path / "license.rtf"),
            }
        ]
        said = wimtui("unmount", mounted.path, "--discard", code=79).stderr
        assert f"process {os.getpid()}, a file open for reading and writing" in said
    assert wimtui("holders", mounted.path).stdout == ""


def test_windows_names_and_nosilent(wim: Path) -> None:
    with mounted_rw(wim, "-o", "windows_names,nosilent") as mounted:
        for name in ("a:b", "con", "x ", 'q"'):
            with denied(errno.EINVAL):
                (mounted.path / name).touch()
        (mounted.path / "fine").touch()
        with denied(errno.EOPNOTSUPP):
            (mounted.path / "fine").chmod(0o600)
    with mounted_rw(wim) as mounted:
        (mounted.path / "a:b").touch()
        (mounted.path / "a:b").chmod(0o600)


def test_streams_as_files(wim: Path) -> None:
    with mounted_rw(wim, "--streams-interface", "windows") as mounted:
        path = mounted.path / "license.rtf"
        stream = mounted.path / "license.rtf:zone"
        assert not stream.exists()
        stream.write_bytes(b"stream")
        assert stream.read_bytes() == b"stream"
        path.rename(mounted.path / "renamed")
        assert not stream.exists()
        assert (mounted.path / "renamed:zone").read_bytes() == b"stream"
        os.truncate(mounted.path / "renamed:zone", 3)
        (change,) = mounted.status()["changes"]
        assert change["what"] == ["names", "streams"]
        (mounted.path / "renamed:zone").unlink()
        assert not (mounted.path / "renamed:zone").exists()


def test_names_of_any_case(wim: Path) -> None:
    with mounted_rw(wim, "--ignore-case") as mounted:
        assert (mounted.path / "LICENSE.RTF").read_bytes()
        (mounted.path / "Made").write_text("x")
        assert (mounted.path / "mADE").read_text() == "x"
        (mounted.path / "made").unlink()
        assert not (mounted.path / "Made").exists()
        assert not (mounted.path / "mADE").exists()


def test_a_full_staging_disk_is_passed_on_and_survived(wim: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system takes root to mount")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small], check=True)
    try:
        with mounted_rw(wim, "--staging-dir", str(small)) as mounted:
            (mounted.path / "kept").write_bytes(b"k" * 100_000)
            with denied(errno.ENOSPC):
                (mounted.path / "big").write_bytes(bytes(8 << 20))
            (mounted.path / "big").unlink()
            (mounted.path / "after").write_bytes(b"a" * 100_000)
            mounted.kill()
            mounted.remount()
            assert (mounted.path / "kept").read_bytes() == b"k" * 100_000
            assert (mounted.path / "after").read_bytes() == b"a" * 100_000
            assert not (mounted.path / "big").exists()
    finally:
        subprocess.run(["umount", small], check=True)
