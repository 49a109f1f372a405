"""What programs can do on a mount that changes."""

# The system calls themselves are what is tested.
# ruff: noqa: PTH116, PTH208, PTH211

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.fuse.mounted import Mounted, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse

LIBC = ctypes.CDLL(None, use_errno=True)
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    folder = tmp_path_factory.mktemp("writes")
    with Mounted(folder, big_size=8 << 20, flat_files=10, writes=True) as mounted:
        yield mounted


@pytest.fixture
def place(mounted: Mounted, request: pytest.FixtureRequest) -> Path:
    """Return a fresh folder on the mount."""
    folder: Path = mounted.path / request.node.name
    folder.mkdir()
    return folder


@contextmanager
def refused(number: int) -> Iterator[None]:
    """Expect an OSError of that number."""
    try:
        yield
    except OSError as error:
        if error.errno != number:
            raise
    else:
        pytest.fail(f"no {errno.errorcode[number]}")


def renameat2(old: Path, new: Path, flags: int) -> None:
    if LIBC.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def test_files_are_made_written_and_read(place: Path) -> None:
    with (place / "f").open("xb") as file:
        file.write(b"one")
        file.seek(10)
        file.write(b"two")
    assert (place / "f").read_bytes() == b"one" + bytes(7) + b"two"
    assert os.stat(place / "f").st_size == 13
    with pytest.raises(FileExistsError):
        (place / "f").open("xb")
    with (place / "f").open("ab") as one, (place / "f").open("ab") as other:
        for file in (one, other, one):
            file.write(b"!")
            file.flush()
    assert (place / "f").read_bytes().endswith(b"two!!!")


def test_truncation_by_path_by_handle_and_by_opening(mounted: Mounted, place: Path) -> None:
    os.link(mounted.path / "big", place / "big")
    before = mounted.ask("copies")["copies"]
    os.truncate(place / "big", 1000)
    with (place / "big").open("r+b") as file:
        file.truncate(10)
        assert os.fstat(file.fileno()).st_size == 10
    assert (mounted.path / "big").stat().st_size == 10
    with (place / "big").open("wb") as file:
        assert os.fstat(file.fileno()).st_size == 0
    copies = mounted.ask("copies")["copies"][len(before) :]
    assert [keep for _, keep in copies] == ([1000] if not before else [])


def test_names_come_go_and_move(place: Path) -> None:
    (place / "d" / "e").mkdir(parents=True)
    (place / "f").write_bytes(b"f")
    with pytest.raises(OSError, match="not empty"):
        (place / "d").rmdir()
    (place / "f").rename(place / "d" / "g")
    assert not (place / "f").exists()
    assert (place / "d" / "g").read_bytes() == b"f"
    (place / "d" / "e").rename(place / "e")
    (place / "d" / "g").unlink()
    (place / "d").rmdir()
    assert os.listdir(place) == ["e"]
    os.symlink("e/../e", place / "link")
    assert os.readlink(place / "link") == "e/../e"
    os.mkfifo(place / "fifo", 0o600)
    assert stat.S_ISFIFO(os.lstat(place / "fifo").st_mode)


def test_rename_flags(place: Path) -> None:
    (place / "a").write_bytes(b"a")
    (place / "b").mkdir()
    with pytest.raises(FileExistsError):
        renameat2(place / "a", place / "b", RENAME_NOREPLACE)
    renameat2(place / "a", place / "b", RENAME_EXCHANGE)
    assert (place / "b").read_bytes() == b"a"
    assert (place / "a").is_dir()
    renameat2(place / "b", place / "c", RENAME_NOREPLACE)
    with refused(errno.EINVAL):
        renameat2(place / "c", place / "d", RENAME_WHITEOUT)
    with refused(errno.EINVAL):
        renameat2(place / "c", place / "a", RENAME_NOREPLACE | RENAME_EXCHANGE)


def test_hard_links_agree_at_once(place: Path) -> None:
    (place / "a").write_bytes(b"one")
    os.link(place / "a", place / "b")
    assert os.stat(place / "a").st_nlink == 2
    (place / "b").write_bytes(b"longer")
    assert os.stat(place / "a").st_size == 6
    assert (place / "a").read_bytes() == b"longer"
    (place / "other").write_bytes(b"")
    (place / "other").rename(place / "b")
    assert os.stat(place / "a").st_nlink == 1


def test_unlinked_and_replaced_files_live_while_open(mounted: Mounted, place: Path) -> None:
    nodes = mounted.ask("nodes")["nodes"]
    with (place / "a").open("w+b") as file:
        file.write(b"content")
        file.flush()
        (place / "a").unlink()
        assert os.fstat(file.fileno()).st_nlink == 0
        file.write(b", more")
        file.seek(0)
        assert file.read() == b"content, more"
    wait_until(lambda: mounted.ask("nodes")["nodes"] == nodes)


def test_times_are_kept_to_100_ns_and_now_is_now(place: Path) -> None:
    (place / "a").write_bytes(b"")
    os.utime(place / "a", ns=(1_700_000_000_123_456_789, -1_000_000_050))
    status = os.stat(place / "a")
    assert status.st_atime_ns == 1_700_000_000_123_456_700
    assert status.st_mtime_ns == -1_000_000_100
    os.utime(place / "a")
    assert os.stat(place / "a").st_mtime > 1_700_000_000


def test_attributes_keep_the_flags_of_setxattr(place: Path) -> None:
    path = place / "a"
    path.write_bytes(b"")
    os.setxattr(path, "user.x", b"1", os.XATTR_CREATE)
    with pytest.raises(FileExistsError):
        os.setxattr(path, "user.x", b"2", os.XATTR_CREATE)
    with refused(errno.ENODATA):
        os.setxattr(path, "user.y", b"2", os.XATTR_REPLACE)
    os.setxattr(path, "user.x", b"3", os.XATTR_REPLACE)
    assert os.getxattr(path, "user.x") == b"3"
    os.removexattr(path, "user.x")
    assert os.listxattr(path) == []


def test_shared_mappings_are_written_back(place: Path) -> None:
    path = place / "a"
    path.write_bytes(bytes(3 * mmap.PAGESIZE))
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
        mapped[5000:5004] = b"here"
        mapped.flush()
        mapped[10000:10004] = b"too!"
        mapped.close()
    data = path.read_bytes()
    assert (data[5000:5004], data[10000:10004]) == (b"here", b"too!")


def test_fsync_of_files_and_folders_arrives(mounted: Mounted, place: Path) -> None:
    before = len(mounted.ask("copies")["syncs"])
    with (place / "a").open("wb") as file:
        os.fsync(file.fileno())
        os.fdatasync(file.fileno())
    directory = os.open(place, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    syncs = mounted.ask("copies")["syncs"][before:]
    assert [data_only for _, data_only in syncs] == [False, True, False]


def test_closing_asks_the_daemon_nothing(mounted: Mounted, place: Path) -> None:
    for number in range(3):
        (place / f"f{number}").write_bytes(b"x")
    assert mounted.requests().get("flush", 0) <= 1


def test_what_a_file_cannot_be_called(place: Path) -> None:
    with refused(errno.ENAMETOOLONG):
        (place / ("x" * 256)).touch()
    with refused(errno.EINVAL):
        (place / "back\\slash").touch()


def test_fallocate_is_refused_clearly(place: Path) -> None:
    with (place / "a").open("wb") as file:
        with refused(errno.EOPNOTSUPP):
            os_fallocate(file.fileno(), 0, 0, 4096)
        os.posix_fallocate(file.fileno(), 0, 8192)
    assert (place / "a").stat().st_size == 8192


def os_fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    long = ctypes.c_long
    if LIBC.fallocate(descriptor, mode, long(offset), long(length)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
