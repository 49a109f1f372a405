"""A file system in memory that can show what a power cut would leave of it.

``python -m tests.readwrite.lossy_disk MOUNTPOINT`` serves it. Writes are held apart from what was
synced: pages of a file until its fsync, names of a directory until the directory's. Setting the
attribute ``user.crash`` of the root to ``FOLDER\\0SEED`` writes one possible state after a power
cut, at that moment, to a folder: seed 0 without anything unsynced, every other with a part of it.
Names come true in the order in which they were made, as in the journals of ext4 and XFS; pages in
any order.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyfuse3
import trio
from pyfuse3 import FileHandleT, InodeT, ModeT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyfuse3 import (
        EntryAttributes,
        FileInfo,
        FlagT,
        ReaddirToken,
        RequestContext,
        SetattrFields,
        StatvfsData,
    )

PAGE = 4096
ROOM = 1 << 30


@dataclass
class File:
    """A file's bytes, as they are and as they were synced."""

    mode: int
    live: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    mtime_ns: int = field(default_factory=time.time_ns)

    def after_cut(self, rng: random.Random | None) -> bytes:
        if rng is None:
            return self.durable
        left = bytearray(self.durable)
        if rng.random() < 0.5:
            left[len(self.live) :] = b""
            left.extend(bytes(len(self.live) - len(left)))
        for start in range(0, len(left), PAGE):
            if rng.random() < 0.5:
                page = self.live[start : start + PAGE][: len(left) - start]
                left[start : start + len(page)] = page
        return bytes(left)


@dataclass
class Folder:
    """Names, as they are and as they were synced, and the steps from these to those."""

    mode: int
    live: dict[bytes, int] = field(default_factory=dict)
    durable: dict[bytes, int] = field(default_factory=dict)
    steps: list[dict[bytes, int]] = field(default_factory=list)
    mtime_ns: int = field(default_factory=time.time_ns)

    def changed(self) -> None:
        self.steps.append(dict(self.live))
        self.mtime_ns = time.time_ns()

    def sync(self) -> None:
        self.durable = dict(self.live)
        self.steps.clear()

    def after_cut(self, rng: random.Random | None) -> dict[bytes, int]:
        if rng is None or not self.steps:
            return self.durable
        return rng.choice([self.durable, *self.steps])


class LossyDisk(pyfuse3.Operations):
    """All of it."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[int, File | Folder] = {pyfuse3.ROOT_INODE: Folder(stat.S_IFDIR | 0o700)}
        self._next = pyfuse3.ROOT_INODE + 1

    def folder(self, number: int) -> Folder:
        found = self.nodes[number]
        if not isinstance(found, Folder):
            raise pyfuse3.FUSEError(errno.ENOTDIR)
        return found

    def file(self, number: int) -> File:
        found = self.nodes[number]
        if not isinstance(found, File):
            raise pyfuse3.FUSEError(errno.EISDIR)
        return found

    def child(self, parent: int, name: bytes) -> int:
        try:
            return self.folder(parent).live[name]
        except KeyError:
            raise pyfuse3.FUSEError(errno.ENOENT) from None

    def add(self, parent: int, name: bytes, node: File | Folder) -> int:
        folder = self.folder(parent)
        if name in folder.live:
            raise pyfuse3.FUSEError(errno.EEXIST)
        number, self._next = self._next, self._next + 1
        self.nodes[number] = node
        folder.live[name] = number
        folder.changed()
        return number

    def attributes(self, number: int) -> pyfuse3.EntryAttributes:
        node = self.nodes[number]
        found = pyfuse3.EntryAttributes()
        found.st_ino = InodeT(number)
        found.st_mode = ModeT(node.mode)
        found.st_nlink = 1
        found.st_uid, found.st_gid = os.getuid(), os.getgid()
        size = len(node.live)
        found.st_size = size
        found.st_blocks = (size + 511) // 512
        found.st_blksize = PAGE
        found.st_atime_ns = found.st_mtime_ns = found.st_ctime_ns = node.mtime_ns
        found.entry_timeout = found.attr_timeout = 0
        return found

    # What the kernel asks

    async def lookup(self, parent: InodeT, name: bytes, ctx: RequestContext) -> EntryAttributes:
        return self.attributes(self.child(parent, name))

    async def getattr(self, inode: InodeT, ctx: RequestContext | None = None) -> EntryAttributes:
        return self.attributes(inode)

    async def setattr(
        self,
        inode: InodeT,
        attr: EntryAttributes,
        fields: SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> EntryAttributes:
        node = self.nodes[inode]
        if fields.update_size:
            live = self.file(inode).live
            live[attr.st_size :] = b""
            live.extend(bytes(attr.st_size - len(live)))
        if fields.update_mode:
            node.mode = attr.st_mode
        if fields.update_mtime:
            node.mtime_ns = attr.st_mtime_ns
        return self.attributes(inode)

    async def mkdir(
        self, parent: InodeT, name: bytes, mode: ModeT, ctx: RequestContext
    ) -> EntryAttributes:
        return self.attributes(self.add(parent, name, Folder(stat.S_IFDIR | mode)))

    async def create(
        self, parent: InodeT, name: bytes, mode: ModeT, flags: FlagT, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        number = self.add(parent, name, File(stat.S_IFREG | mode))
        return pyfuse3.FileInfo(fh=FileHandleT(number)), self.attributes(number)

    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        self.file(inode)
        return pyfuse3.FileInfo(fh=FileHandleT(inode))

    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        return bytes(self.file(fh).live[off : off + size])

    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        node = self.file(fh)
        node.live.extend(bytes(max(off - len(node.live), 0)))
        node.live[off : off + len(buf)] = buf
        node.mtime_ns = time.time_ns()
        return len(buf)

    async def flush(self, fh: FileHandleT) -> None:
        return

    async def release(self, fh: FileHandleT) -> None:
        return

    async def fsync(self, fh: FileHandleT, datasync: bool) -> None:
        node = self.file(fh)
        node.durable = bytes(node.live)

    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        self.folder(inode)
        return FileHandleT(inode)

    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        for name, number in sorted(self.folder(fh).live.items(), key=lambda item: item[1]):
            if number > start_id and not pyfuse3.readdir_reply(
                token, name, self.attributes(number), number
            ):
                return

    async def releasedir(self, fh: FileHandleT) -> None:
        return

    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        self.folder(fh).sync()

    async def unlink(self, parent: InodeT, name: bytes, ctx: RequestContext) -> None:
        self.child(parent, name)
        del self.folder(parent).live[name]
        self.folder(parent).changed()

    async def rmdir(self, parent: InodeT, name: bytes, ctx: RequestContext) -> None:
        if self.folder(self.child(parent, name)).live:
            raise pyfuse3.FUSEError(errno.ENOTEMPTY)
        await self.unlink(parent, name, ctx)

    async def rename(
        self,
        parent: InodeT,
        name: bytes,
        new_parent: InodeT,
        new_name: bytes,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        if parent != new_parent or flags:
            raise pyfuse3.FUSEError(errno.EXDEV)
        number = self.child(parent, name)
        del self.folder(parent).live[name]
        self.folder(parent).live[new_name] = number
        self.folder(parent).changed()

    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        found = pyfuse3.StatvfsData()
        found.f_bsize = found.f_frsize = PAGE
        found.f_blocks = found.f_bfree = found.f_bavail = ROOM // PAGE
        found.f_files = found.f_ffree = found.f_favail = 100_000
        found.f_namemax = 255
        return found

    async def access(self, inode: InodeT, mode: int, ctx: RequestContext) -> bool:
        return True

    async def getxattr(self, inode: InodeT, name: bytes, ctx: RequestContext) -> bytes:
        raise pyfuse3.FUSEError(pyfuse3.ENOATTR)

    async def listxattr(self, inode: InodeT, ctx: RequestContext) -> Sequence[bytes]:
        return []

    async def setxattr(self, inode: InodeT, name: bytes, value: bytes, ctx: RequestContext) -> None:
        if name != b"user.crash" or inode != pyfuse3.ROOT_INODE:
            raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
        folder, seed = value.split(b"\0")
        rng = random.Random(int(seed)) if int(seed) else None
        self.show(pyfuse3.ROOT_INODE, Path(os.fsdecode(folder)), rng)

    def show(self, number: int, where: Path, rng: random.Random | None) -> None:
        """Write what a power cut might leave of a directory."""
        node = self.folder(number)
        where.mkdir(mode=0o700)
        for name, child_number in node.after_cut(rng).items():
            child, path = self.nodes[child_number], where / os.fsdecode(name)
            if isinstance(child, Folder):
                self.show(child_number, path, rng)
            else:
                path.write_bytes(child.after_cut(rng))
                path.chmod(stat.S_IMODE(child.mode))


def main(arguments: Sequence[str]) -> None:
    options = {*pyfuse3.default_options, "fsname=lossy-disk"} - {"default_permissions"}
    pyfuse3.init(LossyDisk(), arguments[0], options)
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main(sys.argv[1:])
