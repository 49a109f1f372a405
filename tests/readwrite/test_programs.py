"""What programs leave on a mount is what they leave on a plain folder."""

# Programs and system calls are what is tested.

from __future__ import annotations

import mmap
import os
import shutil
import sqlite3
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.readwrite.control import assert_same, linux_like_tree
from tests.readwrite.mounts import Mounted, copied_sample, mounted_rw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source") / "linux"
    linux_like_tree(root)
    return root


@pytest.fixture(params=[False, True], ids=["plain", "unix-data"])
def unix_data(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def both(tmp_path: Path, unix_data: bool) -> Iterator[tuple[Path, Path]]:
    """A folder on the mount, and a plain one."""
    control = tmp_path / "control"
    control.mkdir()
    options = ["--unix-data"] if unix_data else []
    with mounted_rw(copied_sample(tmp_path), *options) as mounted:
        place = mounted.path / "place"
        place.mkdir(mode=0o755)
        yield place, control


def run(*words: str | Path, cwd: Path | None = None, stdin: bytes | None = None) -> bytes:
    environment = {
        **os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
        "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    }  # fmt: skip
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, (words, done.stderr.decode(errors="replace")[-2000:])
    return done.stdout


def have(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def test_tar(both: tuple[Path, Path], source: Path, unix_data: bool) -> None:
    packed = run("tar", "-C", source.parent, "-cf", "-", source.name)
    for place in both:
        run("tar", "-C", place, "-xpf", "-", stdin=packed)
    assert_same(*both, times=True, owners=unix_data)


def test_rsync_with_hard_links_and_a_second_run(
    both: tuple[Path, Path], source: Path, unix_data: bool
) -> None:
    have("rsync")
    for place in both:
        run("rsync", "-aH", f"{source}/", place)
    assert_same(*both, times=True, owners=unix_data)
    again = run("rsync", "-aHi", "--modify-window=1", f"{source}/", both[0])
    # Without UNIX data modes cannot be kept, and rsync sees that; contents never differ.
    assert not [line for line in again.splitlines() if line.startswith((b">", b"<"))]


def test_cp_a_mv_and_rm(both: tuple[Path, Path], source: Path, unix_data: bool) -> None:
    for place in both:
        run("cp", "-a", source, place / "one")
        run("cp", "-a", place / "one", place / "two")
        run("mv", place / "one" / "dir-000", place / "moved")
        run("rm", "-r", place / "one")
    assert_same(*both, times=True, owners=unix_data)


def test_git(both: tuple[Path, Path], source: Path, tmp_path: Path) -> None:
    have("git")
    origin = tmp_path / "origin"
    shutil.copytree(source, origin, symlinks=True)
    run("git", "init", "-q", "-b", "main", cwd=origin)
    run("git", "config", "core.fileMode", "false", cwd=origin)
    run("git", "add", "-A", cwd=origin)
    run("git", "commit", "-q", "-m", "one", cwd=origin)
    for number, path in enumerate(sorted(origin.rglob("*.c"))):
        if path.is_file() and not path.is_symlink() and number % 3 == 0:
            path.write_bytes(b"changed")
    run("git", "commit", "-q", "-a", "-m", "two", cwd=origin)
    for place in both:
        run("git", "-c", "core.fileMode=false", "clone", "-q", origin, place / "clone")
        clone = place / "clone"
        run("git", "config", "core.fileMode", "false", cwd=clone)
        run("git", "fsck", "--strict", cwd=clone)
        run("git", "checkout", "-q", "HEAD~1", cwd=clone)
        run("git", "checkout", "-q", "main", cwd=clone)
        run("git", "gc", "-q", "--no-cruft", cwd=clone)
        assert run("git", "status", "--porcelain", cwd=clone) == b""
        shutil.rmtree(clone / ".git")
    assert_same(*both)


def test_sqlite_under_load_in_wal_mode(both: tuple[Path, Path]) -> None:
    dumps = []
    for place in both:
        path = place / "base.db"
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal"
            connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, worker INT, data BLOB)")
        connection.close()

        def work(worker: int, path: Path = path) -> None:
            own = sqlite3.connect(path, timeout=60, isolation_level=None)
            for number in range(60):
                row = (worker * 1000 + number, worker, bytes([worker]) * (number * 37))
                own.execute("INSERT INTO t VALUES (?, ?, ?)", row)
                if number % 10 == 9:
                    own.execute("DELETE FROM t WHERE id = ?", (worker * 1000 + number - 5,))
            own.close()

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        dumps.append(list(connection.execute("SELECT * FROM t ORDER BY id")))
        connection.close()
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) == 4 * (60 - 6)


def test_dd_truncate_fallocate_and_sparse_files(both: tuple[Path, Path]) -> None:
    for place in both:
        run("dd", f"of={place}/dd", "bs=64k", "seek=3", "conv=fsync", stdin=b"x" * 200_001)
        run("dd", f"of={place}/dd", "bs=1", "seek=5", "count=7", "conv=notrunc", stdin=b"1234567")
        run("truncate", "-s", "5G", place / "sparse")
        with (place / "sparse").open("r+b") as file:
            file.seek(5 << 30)
            file.write(b"end")
            file.seek(4_500_000_000)
            file.write(b"middle")
        run("truncate", "-s", "-1", place / "sparse")
        with (place / "sparse").open("rb") as file:
            file.seek(4_499_999_998)
            assert file.read(10) == b"\0\0middle\0\0"
            assert file.seek(0, os.SEEK_END) == (5 << 30) + 2
        assert (place / "sparse").stat().st_blocks < 10_000
        (place / "sparse").unlink()
        with (place / "allocated").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 100_000)
    assert_same(*both)


def test_mmap_writers(both: tuple[Path, Path]) -> None:
    for place in both:
        path = place / "mapped"
        path.write_bytes(bytes(64 * mmap.PAGESIZE))

        def write(part: int, path: Path = path) -> None:
            with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
                for page in range(part, 64, 4):
                    start = page * mmap.PAGESIZE + 100 * part
                    mapped[start : start + 50] = bytes([65 + part]) * 50

        threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with path.open("rb") as file:
            os.fsync(file.fileno())
    assert_same(*both)


def append_from_several(place: Path) -> None:
    """Each line comes from one of four writers, and none is lost."""

    def write(worker: int) -> None:
        with (place / "log").open("ab", buffering=0) as file:
            for number in range(100):
                file.write(b"%d:%03d\n" % (worker, number))

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = sorted((place / "log").read_bytes().splitlines())
    (place / "log").write_bytes(b"\n".join(lines))


def edit_what_was_there(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"0123456789" * 1000)
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"in the middle")
        path.unlink()
        file.seek(0, os.SEEK_END)
        file.write(b"at the end")
        file.seek(0)
        (place / "copy").write_bytes(file.read())
    (place / "a" / "b").mkdir(parents=True)
    (place / "copy").rename(place / "a" / "b" / "moved")
    os.link(place / "a" / "b" / "moved", place / "linked")
    (place / "a").rename(place / "c")
    (place / "empty").mkdir()
    (place / "c").rename(place / "empty")


@pytest.mark.parametrize("is_root", [True, False])
def test_who_writes_decides_about_set_id_bits(tmp_path: Path, is_root: bool) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    control = tmp_path / "control"
    control.mkdir()
    shown = []
    with mounted_rw(copied_sample(tmp_path), "--unix-data", "--allow-other") as mounted:
        for place in (mounted.path, control):
            modes = []
            for command in ("printf x >> f", ": > f", "truncate -s 1 f", "chown 65534 f"):
                path = place / "f"
                path.write_bytes(b"content")
                os.chown(path, 65534, 65534)
                path.chmod(0o6777)
                # The shell enters the folder as root; others may not reach it.
                user = None if is_root else 65534
                groups: list[str] | None = None if is_root else []
                words = ["sh", "-c", command]
                subprocess.run(
                    words, cwd=place, user=user, group=user, extra_groups=groups, check=True
                )
                modes.append(oct(path.stat().st_mode))
            shown.append(modes)
    assert shown[0] == shown[1]


@pytest.mark.parametrize("work", [append_from_several, edit_what_was_there])
def test_system_calls(both: tuple[Path, Path], work: Callable[[Path], None]) -> None:
    for place in both:
        work(place)
    assert_same(*both)


def test_files_of_the_image_are_copied_up_in_part_and_in_whole(
    mounted: Mounted, tmp_path: Path
) -> None:
    control = tmp_path / "control"
    run("cp", "-a", "--no-preserve=xattr", mounted.path, control)
    for place in (mounted.path, control):
        files = sorted(p for p in place.rglob("*") if p.is_file() and not p.is_symlink())
        for number, path in enumerate(files):
            match number % 5:
                case 0:
                    with path.open("r+b") as file:
                        file.seek(path.stat().st_size // 2)
                        file.write(b"overwritten")
                case 1:
                    with path.open("ab") as file:
                        file.write(b"appended")
                case 2:
                    os.truncate(path, path.stat().st_size * 2 // 3)
                case 3:
                    path.write_bytes(b"replaced")
                case 4:
                    path.rename(path.with_name("renamed " + path.name))
    assert_same(mounted.path, control)


def test_removed_streams_live_on_while_they_are_open(tmp_path: Path) -> None:
    with mounted_rw(copied_sample(tmp_path), "--streams-interface=windows") as mounted:
        file = mounted.path / "file"
        file.write_bytes(b"main")
        for is_file_removed in (False, True):
            stream = file.with_name("file:stream")
            stream.write_bytes(b"of the file")
            with stream.open("r+b", buffering=0) as opened:
                (file if is_file_removed else stream).unlink()
                assert not stream.exists()
                opened.truncate(6)
                opened.seek(3)
                opened.write(b"0123456")
                os.fsync(opened.fileno())
                assert os.fstat(opened.fileno()).st_size == 10
                with open(f"/proc/self/fd/{opened.fileno()}", "rb") as again:  # noqa: PTH123
                    assert again.read() == b"of 0123456"
