"""Bytes: copying up, writing, cutting, reading while all that happens, full disks, huge files."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.staging.base_image import CONTENTS, TICKS, ImageBuilder, Mount
from wimtui.engine.errors import (
    CancelledError,
    IsADirectoryNodeError,
    NotSupportedNodeError,
    WimError,
)
from wimtui.engine.progress import CancelToken
from wimtui.engine.staging.changes import is_clean
from wimtui.engine.staging.restore import restore
from wimtui.engine.staging.staged_files import file_number
from wimtui.engine.timestamps import ticks_to_ns
from wimtui.engine.tree import AttributeChanges, Ino, OpenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wimtui.engine.staging.options import OverlayOptions
    from wimtui.engine.tree import WritableFile

    Make = Callable[[OverlayOptions | None], Mount]

A = CONTENTS[b"/a.txt"]


def resize(mount: Mount, path: bytes, size: int) -> None:
    mount.overlay.change(mount.ino(path), AttributeChanges(size=size))


def test_writing_keeps_the_rest_of_the_file(mount: Mount) -> None:
    ino = mount.ino(b"/a.txt")
    assert mount.overlay.copy_up_size(ino) == len(A)
    assert mount.overlay.copy_up_size(ino, keep=10) == 10
    mount.write(ino, b"XYZ", 3)
    assert mount.overlay.copy_up_size(ino) == 0
    expected = A[:3] + b"XYZ" + A[6:]
    assert mount.read(b"/a.txt") == expected
    mount.reopen()
    assert mount.read(b"/a.txt") == expected


def test_opening_for_writing_alone_changes_nothing(mount: Mount) -> None:
    ino = mount.ino(b"/a.txt")
    before = mount.overlay.attributes(ino)
    mount.overlay.open_for_writing(ino).close()
    assert mount.overlay.attributes(ino)._replace(blocks=before.blocks) == before
    mount.reopen()
    assert mount.overlay.attributes(ino).mtime_ns == before.mtime_ns
    assert is_clean(mount.overlay)


def test_cutting_to_nothing_copies_nothing(mount: Mount) -> None:
    ino = mount.ino(b"/dir/b.bin")
    assert mount.overlay.copy_up_size(ino, keep=0) == 0
    resize(mount, b"/dir/b.bin", 0)
    assert mount.read(b"/dir/b.bin") == b""
    assert mount.overlay.attributes(ino).mtime_ns > ticks_to_ns(TICKS)
    mount.reopen()
    assert mount.read(b"/dir/b.bin") == b""


@pytest.mark.parametrize("size", [1, 4096, 5999, 6000, 6001, 100_000])
def test_cutting_and_growing(mount: Mount, size: int) -> None:
    resize(mount, b"/a.txt", size)
    expected = A[:size] + bytes(max(0, size - len(A)))
    assert mount.read(b"/a.txt") == expected
    assert mount.overlay.attributes(mount.ino(b"/a.txt")).mtime_ns > ticks_to_ns(TICKS)
    mount.reopen()
    assert mount.read(b"/a.txt") == expected


def test_the_same_size_again_copies_nothing(mount: Mount) -> None:
    resize(mount, b"/a.txt", len(A))
    assert mount.overlay.copy_up_size(mount.ino(b"/a.txt")) == len(A)
    assert mount.overlay.store.staged_nbytes() == 0


def test_gaps_read_as_zeros_and_take_no_space(mount: Mount) -> None:
    ino = mount.create_file(b"/sparse")
    mount.write(ino, b"end", 5 << 30)
    found = mount.overlay.attributes(ino)
    assert found.size == (5 << 30) + 3
    assert found.blocks < 100
    file = mount.overlay.open_file(ino)
    assert file.read((5 << 30) - 5, 100) == bytes(5) + b"end"
    assert file.read(1 << 32, 4096) == bytes(4096)
    file.close()
    mount.reopen()
    assert mount.overlay.attributes(ino).size == (5 << 30) + 3
    snapshot = mount.overlay.freeze()
    mount.write(ino, b"END", 5 << 30)
    assert mount.overlay.attributes(ino).blocks < 100
    snapshot.release()


def test_a_reader_sees_what_others_write(mount: Mount) -> None:
    ino = mount.ino(b"/a.txt")
    reader = mount.overlay.open_file(ino)
    assert reader.read(0, 5) == b"alpha"
    mount.write(ino, b"ALPHA")
    assert reader.read(0, 5) == b"ALPHA"
    resize(mount, b"/a.txt", 2)
    assert reader.read(0, 5) == b"AL"
    resize(mount, b"/a.txt", 0)
    assert reader.read(0, 5) == b""
    reader.close()
    assert len(mount.overlay.contents.open_streams) == 0


def test_reading_at_once_gives_what_is_in_memory(mount: Mount) -> None:
    ino = mount.create_file(b"/new", b"x" * 10_000)
    file = mount.overlay.open_file(ino)
    at_once = file.read_nowait(5_000, 10_000)
    # A file system that cannot say answers None.
    assert at_once in (b"x" * 5_000, None)
    assert file.read_nowait(20_000, 10) in (b"", None)
    file.close()


@pytest.mark.parametrize("path", [b"/secret", b"/opaque"])
def test_data_that_nothing_here_understands_is_not_written(mount: Mount, path: bytes) -> None:
    ino = mount.ino(path)
    with pytest.raises(NotSupportedNodeError):
        mount.overlay.open_for_writing(ino)
    for size in (0, 5):
        with pytest.raises(NotSupportedNodeError):
            resize(mount, path, size)
    with pytest.raises(NotSupportedNodeError):
        mount.overlay.copy_up(ino, None, CancelToken())
    assert is_clean(mount.overlay)


def test_directories_have_no_size(mount: Mount) -> None:
    with pytest.raises(IsADirectoryNodeError):
        resize(mount, b"/dir", 0)
    with pytest.raises(IsADirectoryNodeError):
        mount.overlay.open_for_writing(mount.ino(b"/dir"))


def test_times_of_writing_outlast_a_kill(mount: Mount) -> None:
    ino = mount.create_file(b"/new", b"one")
    mount.overlay.change(ino, AttributeChanges(mtime_ns=-(10**18) + 50, atime_ns=123_456_789))
    mount.reopen()
    found = mount.overlay.attributes(ino)
    assert (found.mtime_ns, found.atime_ns) == (-(10**18), 123_456_700)
    mount.write(ino, b"two")
    written = mount.overlay.attributes(ino).mtime_ns
    assert written > 10**18
    mount.reopen()
    found = mount.overlay.attributes(ino)
    assert (found.mtime_ns, found.atime_ns) == (written, 123_456_700)
    mount.overlay.change(ino, AttributeChanges(atime_ns=5_000))
    mount.reopen()
    assert mount.overlay.attributes(ino).mtime_ns == written


def test_appending_from_several_handles(mount: Mount) -> None:
    ino = mount.create_file(b"/log")
    files = [mount.overlay.open_for_writing(ino) for _ in range(3)]
    for number in range(30):
        files[number % 3].write(mount.overlay.attributes(ino).size, b"%02d," % number)
    for file in files:
        file.close()
    assert mount.read(b"/log") == b"".join(b"%02d," % number for number in range(30))


class SlowBlobs:
    """The archive's blobs, read only as fast as a test lets them."""

    def __init__(self, blobs: object) -> None:
        self.blobs = blobs
        self.reading = threading.Event()
        self.go_on = threading.Event()
        self.opened = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.blobs, name)

    def open(self, sha1: bytes) -> OpenFile:
        self.opened += 1
        return SlowFile(self, self.blobs.open(sha1))  # type: ignore[attr-defined]


class SlowFile:
    def __init__(self, blobs: SlowBlobs, file: OpenFile) -> None:
        self._blobs = blobs
        self._file = file

    def read_nowait(self, offset: int, size: int) -> bytes | None:
        return None

    def read(self, offset: int, size: int) -> bytes:
        self._blobs.reading.set()
        assert self._blobs.go_on.wait(20)
        return self._file.read(offset, size)

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def slow(mount: Mount) -> Iterator[SlowBlobs]:
    blobs = SlowBlobs(mount.overlay.layer.base.blobs)
    mount.overlay.layer.base.blobs = blobs  # type: ignore[assignment]
    yield blobs
    blobs.go_on.set()


def run(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_two_copy_ups_of_a_file_copy_once_while_others_work(mount: Mount, slow: SlowBlobs) -> None:
    ino = mount.ino(b"/a.txt")
    threads = [run(lambda: mount.overlay.copy_up(ino, None, CancelToken())) for _ in range(3)]
    assert slow.reading.wait(20)
    mount.create_file(b"/meanwhile", b"x")
    assert mount.overlay.attributes(ino).size == len(A)
    slow.go_on.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert slow.opened == 1
    assert mount.overlay.copy_up_size(ino) == 0
    assert mount.read(b"/a.txt") == A


def test_waiting_for_another_copy_up_can_be_cancelled(mount: Mount, slow: SlowBlobs) -> None:
    ino = mount.ino(b"/dir/b.bin")
    first = run(lambda: mount.overlay.copy_up(ino, None, CancelToken()))
    assert slow.reading.wait(20)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        mount.overlay.copy_up(ino, None, cancel)
    slow.go_on.set()
    first.join(20)
    assert mount.overlay.copy_up_size(ino) == 0


def test_a_cancelled_copy_leaves_no_file(mount: Mount) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        mount.overlay.copy_up(mount.ino(b"/a.txt"), None, cancel)
    names = [path.name for path in mount.overlay.store.folder.iterdir()]
    assert [name for name in names if file_number(name) is not None] == []
    assert mount.overlay.copy_up_size(mount.ino(b"/a.txt")) == len(A)


def test_a_file_cut_while_it_is_copied_stays_cut(mount: Mount, slow: SlowBlobs) -> None:
    ino = mount.ino(b"/a.txt")
    thread = run(lambda: mount.overlay.copy_up(ino, None, CancelToken()))
    assert slow.reading.wait(20)
    resize(mount, b"/a.txt", 0)
    slow.go_on.set()
    thread.join(20)
    assert mount.read(b"/a.txt") == b""


def test_large_files_are_copied_in_pieces(tmp_path: Path) -> None:
    image = ImageBuilder()
    data = os.urandom(1 << 20) * 11 + b"tail"
    image.file(b"/big", data)
    mount = Mount.create(image.write(tmp_path / "big.wim"), tmp_path)
    mount.write(mount.ino(b"/big"), b"HEAD")
    assert mount.read(b"/big") == b"HEAD" + data[4:]
    mount.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        pytest.skip("a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: WritableFile) -> None:
    for offset in range(0, 1 << 30, 65536):
        file.write(offset, b"x" * 65536)


def make_names(mount: Mount, kind: bytes = b"name") -> None:
    for number in range(100_000):
        try:
            mount.create_file(b"/%s%d" % (kind, number))
        except OSError:
            assert not mount.has(b"/%s%d" % (kind, number))
            assert number == 0 or mount.has(b"/%s%d" % (kind, number - 1))
            raise


def test_a_full_disk_is_passed_on_and_survived(base_wim: Path, small_disk: Path) -> None:
    mount = Mount.create(base_wim, small_disk)
    overlay = mount.overlay
    kept = mount.create_file(b"/kept", b"kept")
    big = mount.create_file(b"/big")
    file = overlay.open_for_writing(big)
    with pytest.raises(OSError, match="No space left"):
        fill(file)
    assert overlay.attributes(big).size > 1 << 20
    with pytest.raises(OSError, match="No space left"):
        overlay.copy_up(mount.ino(b"/dir/b.bin"), None, CancelToken())
    # Names fail too, once the log can grow no more; what was answered stays.
    with pytest.raises(OSError, match="No space left"):
        make_names(mount)
    assert overlay.usage().blocks_free < 64
    file.close()
    names = [name for name, _ in overlay.list_directory(Ino(1))]
    overlay.change(big, AttributeChanges(size=0))
    mount.reopen()
    assert [name for name, _ in mount.overlay.list_directory(Ino(1))] == names
    assert mount.read(kept) == b"kept"
    mount.create_file(b"/again", b"there is room")
    mount.write(mount.ino(b"/dir/b.bin"), b"B")
    mount.close()


def fill_with_names(mount: Mount, kind: bytes) -> None:
    """Leave no room for a name, nor for another after that."""
    for number in range(3):
        with pytest.raises(OSError, match="No space left"):
            make_names(mount, b"%s%d-" % (kind, number))


def test_a_full_disk_can_be_emptied_again(base_wim: Path, small_disk: Path) -> None:
    mount = Mount.create(base_wim, small_disk)
    for number in range(600):
        mount.create_file(b"/empty%d" % number)
    big = mount.create_file(b"/big")
    file = mount.overlay.open_for_writing(big)
    with pytest.raises(OSError, match="No space left"):
        fill(file)
    file.close()
    fill_with_names(mount, b"a")
    # What has no bytes gives none back, and what has some gives them to whoever comes then.
    for number in range(600):
        mount.unlink(b"/empty%d" % number)
    fill_with_names(mount, b"b")
    mount.reopen()
    mount.overlay.store.note_mount({"remounted": True}, mount.overlay.options)
    mount.unlink(b"/big")
    mount.create_file(b"/again", b"there is room" * 1000)
    mount.reopen()
    assert mount.read(b"/again") == b"there is room" * 1000
    mount.close()


def test_restoring_makes_room_on_a_full_disk(base_wim: Path, small_disk: Path) -> None:
    mount = Mount.create(base_wim, small_disk)
    file = mount.overlay.open_for_writing(mount.create_file(b"/big"))
    with pytest.raises(OSError, match="No space left"):
        fill(file)
    file.close()
    fill_with_names(mount, b"a")
    restored = restore(mount.overlay, b"/big")
    for ino in restored.unlinked:
        mount.overlay.forget(ino)
    assert not mount.has(b"/big")
    mount.create_file(b"/again", b"there is room" * 1000)
    mount.close()


def test_usage_tells_the_free_space_of_the_staging_disk(mount: Mount) -> None:
    usage = mount.overlay.usage()
    disk = os.statvfs(mount.overlay.store.folder)
    assert abs(usage.blocks_free * 4096 - disk.f_bavail * disk.f_frsize) < 1 << 30
    assert usage.blocks > usage.blocks_free
    assert usage.files_free > 0


def test_syncing_a_file_a_folder_and_the_root(mount: Mount) -> None:
    ino = mount.create_file(b"/new", b"data")
    file = mount.overlay.open_for_writing(ino)
    file.write(0, b"DATA")
    file.sync(data_only=True)
    file.sync(data_only=False)
    file.close()
    for path in (b"/", b"/dir", b"/new", b"/a.txt"):
        mount.overlay.sync(mount.ino(path), data_only=False)
    with pytest.raises(WimError):
        mount.overlay.sync(Ino(999), data_only=False)
