"""The files of a staging folder: the bytes of one changed stream each."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from wimtui.engine.progress import CancelToken

_SECOND_NS: Final = 1_000_000_000

PRISTINE_NS: Final = 315_619_200 * _SECOND_NS
"""Modification time (1980-01-02) of a whole copy of the base image's data, never written to."""

TIMES_SET_NS: Final = 315_705_600 * _SECOND_NS
"""Modification time (1980-01-03) of a file whose node had its times set after the last write.

Days in 1980, as that is when the clocks of FAT and exFAT begin.
"""

_PIECE_NBYTES: Final = 4 << 20
_RANGE_NBYTES: Final = 64 << 20
_MAX_GARBAGE_NBYTES: Final = 64 << 20
_MAX_GARBAGE_FILES: Final = 1024
"""As many as one wait for the disk may be shared by, where they are small."""

_GARBAGE_SHARE: Final = 8
"""Garbage never takes more than this part of what the disk has left."""


class StagedFiles:
    """Makes, measures, copies and removes staged files."""

    def __init__(self, folder: Path, first_number: int) -> None:
        """Look after a folder; numbers are given out from ``first_number`` on."""
        self._folder = os.fspath(folder)
        self._next = first_number
        self._garbage: list[int] = []
        self._garbage_nbytes = 0
        self._folder_is_synced = False

    def path(self, number: int) -> str:
        """Return where a file is, or will be when somebody writes to it."""
        return f"{self._folder}/{number:08x}"

    def new_number(self) -> int:
        """Return a number that no file has had."""
        number = self._next
        self._next = number + 1
        return number

    def open(self, number: int) -> int:
        """Return a descriptor for reading and writing; the file is made if it is missing."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(self.path(number), flags)
        except FileNotFoundError:
            descriptor = os.open(self.path(number), flags | os.O_CREAT, 0o600)
            self._folder_is_synced = False
            return descriptor

    def status(self, number: int) -> os.stat_result | None:
        """Return what stat says, or None for a file that nobody wrote to."""
        try:
            return os.stat(self.path(number))  # noqa: PTH116  # half the time of Path.stat
        except FileNotFoundError:
            return None

    def size(self, number: int) -> int:
        """Return the bytes of a file."""
        status = self.status(number)
        return 0 if status is None else status.st_size

    def read(self, number: int, size: int) -> bytes:
        """Return the first ``size`` bytes of a file."""
        try:
            descriptor = os.open(self.path(number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, size, 0)
        finally:
            os.close(descriptor)

    def mark(self, number: int, mtime_ns: int) -> None:
        """Set the modification time of a file that exists."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path(number), ns=(mtime_ns, mtime_ns))

    def truncate(self, number: int, size: int) -> None:
        """Set the size; the modification time becomes that of this moment."""
        descriptor = self.open(number)
        try:
            os.ftruncate(descriptor, size)
            os.utime(descriptor)
        finally:
            os.close(descriptor)

    # Copies

    def fill(
        self, read: Callable[[int, int], bytes], size: int, cancel: CancelToken | None = None
    ) -> int:
        """Make a file of the first ``size`` bytes that ``read(offset, size)`` gives.

        It is on the disk when this returns: what the database says next must not come true
        before the data it speaks of. Blocks. Raises OSError, CancelledError, WimError; the file
        is gone then.
        """
        number = self.new_number()
        descriptor = self.open(number)
        try:
            offset = 0
            while offset < size:
                if cancel is not None:
                    cancel.check()
                piece = read(offset, min(_PIECE_NBYTES, size - offset))
                if not piece:
                    break
                write_all(descriptor, offset, piece)
                offset += len(piece)
            os.fdatasync(descriptor)
        except BaseException:
            self.remove(number)
            raise
        finally:
            os.close(descriptor)
        return number

    def clone(self, number: int, size: int, cancel: CancelToken | None = None) -> int:
        """Return the number of a copy of the first ``size`` bytes, with the same times.

        The copy is on the disk, as with ``fill``. The kernel copies; file systems that can share
        the blocks instead. Raises OSError, CancelledError.
        """
        copy = self.new_number()
        source = self.open(number)
        try:
            target = self.open(copy)
            try:
                _copy(source, target, size, cancel)
                mtime_ns = os.fstat(source).st_mtime_ns
                os.utime(target, ns=(mtime_ns, mtime_ns))
                os.fsync(target)
            except BaseException:
                self.remove(copy)
                raise
            finally:
                os.close(target)
        finally:
            os.close(source)
        return copy

    def remove(self, number: int) -> None:
        """Remove a file that the database has never mentioned."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(number))  # noqa: PTH108  # paths here are plain text

    # Rubbish and the disk

    def discard(self, numbers: Iterable[int]) -> bool:
        """Note files that nothing in the database mentions any more.

        They must stay until the disk has that database, or a power cut would bring names back
        whose data are gone. Returns whether it is time for ``collect``.
        """
        for number in numbers:
            status = self.status(number)
            if status is not None:
                self._garbage.append(number)
                self._garbage_nbytes += status.st_blocks * 512
        if self._garbage_nbytes == 0:
            return len(self._garbage) > _MAX_GARBAGE_FILES
        disk = os.statvfs(self._folder)
        limit = min(_MAX_GARBAGE_NBYTES, disk.f_bavail * disk.f_frsize // _GARBAGE_SHARE)
        return self._garbage_nbytes > limit or len(self._garbage) > _MAX_GARBAGE_FILES

    def collect(self) -> None:
        """Remove the discarded files; the database must be on the disk."""
        garbage, self._garbage, self._garbage_nbytes = self._garbage, [], 0
        for number in garbage:
            self.remove(number)

    def remove_unknown(self, known: set[int]) -> None:
        """Remove every staged file that is not among the known ones."""
        for name in os.listdir(self._folder):  # noqa: PTH208  # names only
            number = file_number(name)
            if number is not None and number not in known:
                self.remove(number)

    def sync(self, numbers: Iterable[int]) -> None:
        """Return when files, their modification times and their names are on the disk."""
        for number in numbers:
            try:
                descriptor = os.open(self.path(number), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                # Not fdatasync, which may leave out the modification time.
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if not self._folder_is_synced:
            self._folder_is_synced = True
            try:
                sync_folder(self._folder)
            except BaseException:
                self._folder_is_synced = False
                raise


def file_number(name: str) -> int | None:
    """Return the number of a staged file by its name, or None for any other file."""
    if len(name) < 8 or not set(name) <= set("0123456789abcdef"):
        return None
    return int(name, 16)


def sync_folder(folder: str) -> None:
    """Return when the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, offset: int, data: bytes) -> None:
    """Write all of the data. Raises OSError; what was written before stays."""
    written = os.pwrite(descriptor, data, offset)
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)


def _copy(source: int, target: int, size: int, cancel: CancelToken | None) -> None:
    """Copy what holds data; holes stay holes."""
    os.ftruncate(target, size)
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
            end = min(os.lseek(source, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        while start < end:
            if cancel is not None:
                cancel.check()
            start += _copy_range(source, target, start, min(end - start, _RANGE_NBYTES))
        offset = max(end, start)


def _copy_range(source: int, target: int, offset: int, size: int) -> int:
    """Copy some bytes within the kernel, or through memory where it cannot."""
    with contextlib.suppress(OSError):
        copied = os.copy_file_range(source, target, size, offset, offset)
        if copied:
            return copied
    piece = os.pread(source, min(size, _PIECE_NBYTES), offset)
    write_all(target, offset, piece)
    return len(piece) or size
