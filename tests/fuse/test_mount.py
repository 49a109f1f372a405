"""What programs see on a real mount."""

# The system calls themselves are what is tested.
# ruff: noqa: PTH116, PTH118, PTH123, PTH208, PTH211

from __future__ import annotations

import errno
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.fuse.fake_tree import BLOCK, EARLY_NS, LATE_NS, ODD_NAMES
from tests.fuse.mounted import Mounted, wait_until
from wimtui.engine.fuse.mount_info import find_mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse


@pytest.fixture(scope="module", params=["pyfuse3", "server"])
def session(request: pytest.FixtureRequest) -> str:
    """Who answers the kernel."""
    return str(request.param)


@pytest.fixture(scope="module")
def mounted(session: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    folder = tmp_path_factory.mktemp("shared")
    with Mounted(folder, session=session, big_size=64 << 20) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def mount(mounted: Mounted) -> Path:
    return mounted.path


def test_the_mount_is_listed_with_its_type_and_options(mount: Path) -> None:
    info = find_mount(mount)

    assert info is not None
    assert info.fs_type == "fuse.wim"
    assert "ro" in info.options.split(",")


def test_stat_shows_every_field(mount: Path) -> None:
    status = (mount / "hello").stat()

    assert stat.S_IMODE(status.st_mode) == 0o644
    assert (status.st_ino, status.st_nlink, status.st_size, status.st_blocks) == (2, 2, 13, 1)
    assert (status.st_uid, status.st_gid, status.st_blksize) == (0, 0, 4096)
    assert (mount / "flat").stat().st_mtime_ns == LATE_NS
    assert mount.stat().st_ino == 1


def test_times_before_1970_keep_their_100_ns(mount: Path) -> None:
    status = (mount / "hello").stat()

    assert status.st_atime_ns == EARLY_NS
    assert status.st_mtime_ns == EARLY_NS + 100
    assert status.st_ctime_ns == EARLY_NS + 200


def test_hard_links_are_one_file(mount: Path) -> None:
    assert (mount / "hello").samefile(mount / "hello-again")
    assert (mount / "hello-again").read_bytes() == b"hello, world\n"


def test_links_show_their_target(mount: Path) -> None:
    assert os.readlink(mount / "link") == "hello"
    assert (mount / "link").read_bytes() == b"hello, world\n"
    assert os.readlink(os.fsencode(mount / "broken-link")) == b"nowhere/\xed\xa0\x80"
    with pytest.raises(FileNotFoundError):
        (mount / "broken-link").stat()


def test_special_files_are_shown_and_not_obeyed(mount: Path) -> None:
    assert stat.S_ISFIFO((mount / "fifo").stat().st_mode)
    assert stat.S_ISSOCK((mount / "socket").stat().st_mode)
    device = (mount / "device").stat()
    assert stat.S_ISCHR(device.st_mode)
    assert device.st_rdev == os.makedev(1, 3)
    with pytest.raises(PermissionError):
        (mount / "device").read_bytes()


def test_a_large_directory_is_complete_and_without_duplicates(mount: Path) -> None:
    names = os.listdir(mount / "flat")

    assert names == [f"file-{number:05}" for number in range(10_000)]
    with os.scandir(mount / "flat") as entries:
        assert all(entry.is_file() for entry in entries)


def test_dot_and_dot_dot_are_listed_with_their_inodes(mount: Path) -> None:
    listed = subprocess.run(
        ["ls", "-aiU", mount / "deep" / "level-0"], capture_output=True, text=True, check=True
    ).stdout.split()
    inodes = dict(zip(listed[1::2], listed[0::2], strict=True))

    assert list(inodes) == [".", "..", "level-1"]
    assert inodes["."] == str((mount / "deep/level-0").stat().st_ino)
    assert inodes[".."] == str((mount / "deep").stat().st_ino)
    assert os.listdir(mount / "empty") == []


def test_names_of_any_bytes_come_and_go_unchanged(mount: Path) -> None:
    odd = os.fsencode(mount / "odd")

    assert os.listdir(odd) == list(ODD_NAMES)
    for name in ODD_NAMES:
        with open(os.path.join(odd, name), "rb") as file:
            assert file.read() == name


def test_absent_names_are_asked_for_once(mounted: Mounted) -> None:
    before = mounted.requests().get("lookup", 0)
    for _ in range(50):
        assert not (mounted.path / "no-such-name").exists()

    assert mounted.requests()["lookup"] - before == 1


def test_names_and_attributes_are_asked_for_once(mounted: Mounted) -> None:
    path = mounted.path / "flat" / "file-00042"
    path.stat()
    before = mounted.requests()
    for _ in range(50):
        path.stat()
    after = mounted.requests()

    assert after.get("lookup", 0) == before.get("lookup", 0)
    assert after.get("getattr", 0) == before.get("getattr", 0)


def test_closing_a_file_is_asked_about_once_in_the_life_of_a_mount(mounted: Mounted) -> None:
    for number in range(10):
        (mounted.path / "flat" / f"file-{number:05}").read_bytes()

    assert mounted.requests()["flush"] == 1


def test_data_stay_in_the_page_cache_between_opens(mounted: Mounted) -> None:
    path = mounted.path / "flat" / "file-00099"
    path.read_bytes()
    before = mounted.requests()["read"]
    assert path.read_bytes() == b"content of 99\n"

    assert mounted.requests()["read"] == before


def test_attributes_are_listed_sized_and_read(mount: Path) -> None:
    path = mount / "hello"

    assert os.listxattr(path) == ["user.zone", "user.empty", "user.big"]
    assert os.getxattr(path, "user.zone") == b"[ZoneTransfer]"
    assert os.getxattr(path, "user.empty") == b""
    assert os.getxattr(path, "user.big") == b"x" * 65536
    for name in ("user.none", "security.capability", "system.posix_acl_access"):
        with pytest.raises(OSError, match="No data") as caught:
            os.getxattr(path, name)
        assert caught.value.errno == errno.ENODATA


def test_an_attribute_that_does_not_fit_says_so(mount: Path) -> None:
    libc = pytest.importorskip("ctypes").CDLL(None, use_errno=True)
    ctypes = pytest.importorskip("ctypes")
    path, name = os.fsencode(mount / "hello"), b"user.zone"
    buffer = ctypes.create_string_buffer(5)

    assert libc.getxattr(path, name, buffer, 5) == -1
    assert ctypes.get_errno() == errno.ERANGE
    assert libc.getxattr(path, name, None, 0) == len(b"[ZoneTransfer]")
    assert libc.listxattr(path, buffer, 5) == -1
    assert ctypes.get_errno() == errno.ERANGE
    assert libc.listxattr(path, None, 0) == len(b"user.zone\0user.empty\0user.big\0")


def test_statfs_shows_what_the_tree_says(mount: Path) -> None:
    usage = os.statvfs(mount)

    assert (usage.f_bsize, usage.f_frsize, usage.f_blocks, usage.f_bfree, usage.f_bavail) == (
        4096, 4096, 1000, 250, 250
    )  # fmt: skip
    assert (usage.f_ffree, usage.f_namemax) == (0, 255)


def write_file(path: Path) -> None:
    with path.open("r+b"):
        pass


WRITES: dict[str, Callable[[Path], object]] = {
    "open": lambda mount: write_file(mount / "hello"),
    "create": lambda mount: (mount / "created").touch(),
    "truncate": lambda mount: os.truncate(mount / "hello", 0),
    "mkdir": lambda mount: (mount / "made").mkdir(),
    "rmdir": lambda mount: (mount / "empty").rmdir(),
    "unlink": lambda mount: (mount / "hello").unlink(),
    "rename": lambda mount: (mount / "hello").rename(mount / "renamed"),
    "link": lambda mount: os.link(mount / "hello", mount / "linked"),
    "symlink": lambda mount: os.symlink("target", mount / "symlinked"),
    "mknod": lambda mount: os.mkfifo(mount / "new-fifo"),
    "chmod": lambda mount: (mount / "hello").chmod(0o600),
    "chown": lambda mount: os.chown(mount / "hello", 1, 1),
    "utime": lambda mount: os.utime(mount / "hello"),
    "setxattr": lambda mount: os.setxattr(mount / "hello", "user.new", b"value"),
    "removexattr": lambda mount: os.removexattr(mount / "hello", "user.zone"),
}


@pytest.fixture(scope="module")
def writable_mount(session: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mount where the kernel refuses nothing by itself, so that the handlers must."""
    folder = tmp_path_factory.mktemp("rw")
    options = ["rw", "no_default_permissions"]
    with Mounted(folder, session=session, options=options, flat_files=3) as mounted:
        yield mounted.path


@pytest.mark.parametrize("operation", WRITES)
def test_the_kernel_refuses_to_change_a_read_only_mount(mount: Path, operation: str) -> None:
    with pytest.raises(OSError, match="Read-only") as caught:
        WRITES[operation](mount)
    assert caught.value.errno == errno.EROFS


@pytest.mark.parametrize("operation", WRITES)
def test_the_handlers_refuse_where_the_kernel_does_not(
    writable_mount: Path, operation: str
) -> None:
    with pytest.raises(OSError, match="Read-only") as caught:
        WRITES[operation](writable_mount)
    assert caught.value.errno == errno.EROFS


def test_a_corrupt_range_fails_once_in_the_log_and_the_mount_lives_on(mounted: Mounted) -> None:
    path = mounted.path / "corrupt"
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output") as caught:
                os.pread(descriptor, 4096, 700 << 10)
            assert caught.value.errno == errno.EIO
        assert os.pread(descriptor, 4096, 0) == BLOCK[:4096]
    finally:
        os.close(descriptor)

    assert mounted.log().count("blob 0123abcd") == 1
    assert "WARNING" in mounted.log()
    assert (mounted.path / "hello").read_bytes() == b"hello, world\n"


def test_a_bug_in_the_tree_is_an_error_and_not_the_end(mounted: Mounted) -> None:
    mounted.ask("break")
    try:
        with pytest.raises(OSError, match="Input/output"):
            os.stat(mounted.path / "never-looked-up")
        with pytest.raises(OSError, match="Input/output"):
            os.getxattr(mounted.path / "hello", "user.zone")
    finally:
        mounted.ask("mend")

    assert "ZeroDivisionError: a bug in the tree" in mounted.log()
    assert os.getxattr(mounted.path / "hello", "user.zone") == b"[ZoneTransfer]"


def test_readers_side_by_side_all_get_their_bytes(mount: Path) -> None:
    def read_part(reader: int) -> bool:
        name = "uncached" if reader % 2 else "big"
        descriptor = os.open(mount / name, os.O_RDONLY)
        try:
            for step in range(60):
                offset = ((reader * 7919 + step * 104729) % (60 << 20)) & ~0xFFF
                start = offset % len(BLOCK)
                wanted = (BLOCK + BLOCK)[start : start + 20_000]
                if os.pread(descriptor, 20_000, offset) != wanted:
                    return False
        finally:
            os.close(descriptor)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read_part, range(8)))


def test_open_files_are_counted(mounted: Mounted) -> None:
    path = mounted.path / "flat" / "file-00007"
    ino = str(path.stat().st_ino)
    with path.open("rb"), path.open("rb"):
        assert mounted.ask("activity")["open"][ino] == 2

    wait_until(lambda: ino not in mounted.ask("activity")["open"])


def test_what_changed_behind_the_kernel_shows_after_telling_it(tmp_path: Path) -> None:
    with Mounted(tmp_path, flat_files=3) as mounted:
        assert (mounted.path / "hello").read_bytes() == b"hello, world\n"
        assert not (mounted.path / "fresh").exists()

        assert mounted.ask("grow") == {"known": True, "entry": True, "unknown": False}

        assert (mounted.path / "fresh").read_bytes() == b"new"
        assert (mounted.path / "hello").stat().st_size == 3
        assert (mounted.path / "hello").read_bytes() == b"new"


def test_a_tree_without_attributes_is_asked_once(session: str, tmp_path: Path) -> None:
    with Mounted(tmp_path, session=session, flat_files=20, has_xattrs=False) as mounted:
        for name in os.listdir(mounted.path / "flat"):
            with pytest.raises(OSError, match="not supported"):
                os.getxattr(mounted.path / "flat" / name, "user.x")

        assert mounted.requests()["getxattr"] == 1


def test_files_that_all_open_are_read_without_being_opened(tmp_path: Path) -> None:
    with Mounted(tmp_path, session="server", flat_files=50, opens_are_needed=False) as mounted:
        for _ in range(2):
            for number in range(50):
                path = mounted.path / "flat" / f"file-{number:05}"
                assert path.read_bytes() == b"content of %d\n" % number
        counts = mounted.requests()

        assert counts["open"] == 1
        assert counts["read"] == 50
        assert "release" not in counts
        with pytest.raises(OSError, match="Read-only"):
            (mounted.path / "hello").open("r+b")


def test_listings_are_asked_for_once(tmp_path: Path) -> None:
    with Mounted(tmp_path, session="server", flat_files=1000) as mounted:
        names = os.listdir(mounted.path / "flat")
        before = mounted.requests()
        for _ in range(3):
            assert os.listdir(mounted.path / "flat") == names
            with os.scandir(mounted.path / "flat") as entries:
                assert all(entry.stat().st_size > 10 for entry in entries)

        assert mounted.requests() == before
        assert before["opendir"] == 1
