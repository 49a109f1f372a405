"""Disks that fail, kill, or remember: what stands in for broken hardware and power cuts."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.commit.disk import Disk

if TYPE_CHECKING:
    from typing_extensions import Buffer


class CountedDisk(Disk):
    """Counts its calls; ``before`` is called with the number of each, from 1."""

    def __init__(self) -> None:
        self.calls = 0

    def before(self, name: str) -> None:
        """Do what a test wants to happen in the place of a call."""

    def _next(self, name: str) -> None:
        self.calls += 1
        self.before(name)

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        self._next("open")
        return super().open(path, flags, mode)

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        try:
            self._next("pwrite")
        except OSError:
            # A disk that fails has often written something by then.
            half = memoryview(data)[: len(memoryview(data)) // 2]
            if offset >= 208:
                super().pwrite(fd, half, offset)
            raise
        return super().pwrite(fd, data, offset)

    def copy_range(
        self, source: int, fd: int, offset_in_source: int, offset: int, nbytes: int
    ) -> int:
        try:
            self._next("copy_range")
        except OSError:
            super().copy_range(source, fd, offset_in_source, offset, nbytes // 2)
            raise
        return super().copy_range(source, fd, offset_in_source, offset, nbytes)

    def fsync(self, fd: int) -> None:
        self._next("fsync")
        super().fsync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        self._next("ftruncate")
        super().ftruncate(fd, size)

    def rename(self, source: str, target: str) -> None:
        self._next("rename")
        super().rename(source, target)

    def link(self, source: str, target: str) -> None:
        self._next("link")
        super().link(source, target)

    def unlink(self, path: str) -> None:
        self._next("unlink")
        super().unlink(path)

    def fsync_directory(self, path: str) -> None:
        self._next("fsync_directory")
        super().fsync_directory(path)


class FailingDisk(CountedDisk):
    """Fails one call, or that one and all after it."""

    def __init__(self, at: int, error: int, *, for_good: bool = False) -> None:
        super().__init__()
        self._at = at
        self._error = error
        self._for_good = for_good
        self.failed: str = ""

    def before(self, name: str) -> None:
        if self.calls == self._at or (self._for_good and self.calls > self._at):
            self.failed = self.failed or name
            raise OSError(self._error, os.strerror(self._error))


class KillingDisk(CountedDisk):
    """Kills the process at one call: before it, or in the middle of a write."""

    def __init__(self, at: int, *, halfway: bool = False) -> None:
        super().__init__()
        self._at = at
        self._halfway = halfway

    def before(self, name: str) -> None:
        if self.calls == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        written = super().pwrite
        if self._halfway and self.calls + 1 == self._at:
            view = memoryview(data)
            if offset >= 208:
                os.pwrite(fd, view[: len(view) // 2], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        return written(fd, data, offset)

    def copy_range(
        self, source: int, fd: int, offset_in_source: int, offset: int, nbytes: int
    ) -> int:
        if self._halfway and self.calls + 1 == self._at:
            Disk().copy_range(source, fd, offset_in_source, offset, nbytes // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().copy_range(source, fd, offset_in_source, offset, nbytes)


@dataclass(frozen=True)
class Operation:
    """One call that changed something."""

    name: str
    file: int = -1
    """Number of the file, by the order of opening."""
    offset: int = 0
    data: bytes = b""


class RecordingDisk(CountedDisk):
    """Does everything and keeps a log of it."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Operation] = []
        self.paths: list[str] = []
        self._files: dict[int, int] = {}

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        fd = super().open(path, flags, mode)
        self._files[fd] = len(self.paths)
        self.paths.append(path)
        self.log.append(Operation("open", self._files[fd]))
        return fd

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        written = super().pwrite(fd, data, offset)
        content = bytes(memoryview(data)[:written])
        self.log.append(Operation("pwrite", self._files[fd], offset, content))
        return written

    def copy_range(
        self, source: int, fd: int, offset_in_source: int, offset: int, nbytes: int
    ) -> int:
        copied = super().copy_range(source, fd, offset_in_source, offset, nbytes)
        content = os.pread(fd, copied, offset)
        self.log.append(Operation("pwrite", self._files[fd], offset, content))
        return copied

    def fsync(self, fd: int) -> None:
        super().fsync(fd)
        self.log.append(Operation("fsync", self._files[fd]))

    def ftruncate(self, fd: int, size: int) -> None:
        super().ftruncate(fd, size)
        self.log.append(Operation("ftruncate", self._files[fd], size))

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self.log.append(Operation("rename", self.paths.index(source)))

    def link(self, source: str, target: str) -> None:
        super().link(source, target)
        self.log.append(Operation("link", self.paths.index(source)))

    def fsync_directory(self, path: str) -> None:
        super().fsync_directory(path)
        self.log.append(Operation("fsync_directory"))
