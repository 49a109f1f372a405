"""Requests that look and read, answered from a tree: a protocol adapter without policy."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

import pyfuse3
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, StatvfsData, readdir_reply

from wimtui.engine.fuse.activity import Activity
from wimtui.engine.fuse.attributes import FOREVER_SECONDS, entry_attributes, negative_entry
from wimtui.engine.fuse.errno_map import Refusal
from wimtui.engine.fuse.failures import Failures
from wimtui.engine.fuse.handler import guarded, inline
from wimtui.engine.fuse.handles import HandleTable
from wimtui.engine.tree import Ino

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyfuse3 import ReaddirToken, RequestContext

    from wimtui.engine.fuse.lookup_counts import LookupCounts
    from wimtui.engine.fuse.threads import WorkerThreads
    from wimtui.engine.tree import OpenFile, ReadTree

_NO_DATA = Refusal(errno.ENODATA)
_NOT_IMPLEMENTED = Refusal(errno.ENOSYS)
_READ_ONLY = Refusal(errno.EROFS)

# Asked for by ls -l and by every write(2), thousands of times a second; no WIM stores them.
_KERNEL_XATTRS: Final = (b"security.", b"system.posix_acl_")

_DOT_ENTRIES: Final = 2
"""``.`` and ``..`` come before the tree's own entries and have the ids 1 and 2."""


class DirectoryHandle:
    """An open directory: the listing that one pass of readdir walks through."""

    __slots__ = ("entries", "ino")

    def __init__(self, ino: Ino) -> None:
        self.ino = ino
        self.entries: Sequence[tuple[bytes, Ino]] = ()


class ReadOperations(pyfuse3.Operations):
    """The requests that a tree of either kind answers alike.

    Metadata is answered on the trio thread without a checkpoint, and so are reads that the open
    file answers from memory; other reads, link targets and attribute values go to the threads.
    """

    supports_dot_lookup = False
    """True would promise the kernel (EXPORT_SUPPORT) what only NFS needs."""

    def __init__(
        self,
        tree: ReadTree,
        threads: WorkerThreads,
        *,
        timeout_seconds: float = FOREVER_SECONDS,
        has_xattrs: bool = True,
        lookup_counts: LookupCounts | None = None,
    ) -> None:
        """Answer from a tree.

        Args:
            tree: What to show.
            threads: Where blocking work goes.
            timeout_seconds: How long the kernel may keep entries, attributes and the absence of
                names. What changes behind its back must then be told by ``KernelCache``.
            has_xattrs: False where no node has any: the kernel then stops asking after the first
                answer, which saves ``ls -l`` two requests a file.
            lookup_counts: Counts the kernel's references, for a tree whose inodes can go.
        """
        super().__init__()
        self.tree = tree
        self.threads = threads
        self.activity = Activity()
        self.failures = Failures()
        self.files: HandleTable[OpenFile] = HandleTable()
        self.directories: HandleTable[DirectoryHandle] = HandleTable()
        self.on_init: Callable[[], None] | None = None
        self.timeout_seconds = timeout_seconds
        self.has_xattrs = has_xattrs
        self._lookup_counts = lookup_counts
        self._absent = negative_entry(timeout_seconds)

    def init(self) -> None:
        """Tell whoever waits that the kernel has begun to ask."""
        if self.on_init is not None:
            self.on_init()

    def entry(self, ino: Ino) -> EntryAttributes:
        """Return the attributes of a node in pyfuse3's form."""
        return entry_attributes(self.tree.attributes(ino), self.timeout_seconds)

    def interrupt(self) -> None:
        """End what would keep requests waiting for long: the mount ends."""

    def close(self) -> None:
        """Close the files that the kernel left open when the mount ended."""
        for file in self.files.drain():
            file.close()
        self.directories.drain()

    # Names and attributes

    @inline
    def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        ino = self.tree.lookup(Ino(parent_inode), name)
        if ino is None:
            return self._absent
        entry = self.entry(ino)
        if self._lookup_counts is not None:
            self._lookup_counts.add(ino)
        return entry

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        self.activity.requests["forget"] += 1
        if self._lookup_counts is not None:
            self._lookup_counts.forget((Ino(ino), lookups) for ino, lookups in inode_list)

    @inline
    def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        return self.entry(Ino(inode))

    @inline
    def access(self, inode: int, mode: int, ctx: RequestContext) -> bool:
        """Allow: with default_permissions the kernel decides and never asks."""
        return True

    @guarded
    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        return await self.threads.run(self.tree.read_link, Ino(inode))

    @inline
    def statfs(self, ctx: RequestContext) -> StatvfsData:
        usage = self.tree.usage()
        reply = StatvfsData()
        reply.f_bsize = usage.block_size
        reply.f_frsize = usage.block_size
        reply.f_blocks = usage.blocks
        reply.f_bfree = usage.blocks_free
        reply.f_bavail = usage.blocks_free
        reply.f_files = usage.files
        reply.f_ffree = usage.files_free
        reply.f_favail = usage.files_free
        reply.f_namemax = usage.name_max
        return reply

    # Directories

    @inline
    def opendir(self, inode: int, ctx: RequestContext) -> int:
        ino = Ino(inode)
        return self.directories.add(ino, DirectoryHandle(ino))

    @inline
    def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        """Give out entries with their attributes until the kernel's buffer is full.

        The listing is taken when a pass begins and kept until the next begins (rewinddir), so that
        ids stay true whatever happens to the directory meanwhile. What the kernel has had removed
        since must not come, as it would remember the name as present, and a name that stands for
        another node comes with that one.
        """
        directory = self.directories.get(fh)
        if start_id == 0:
            directory.entries = self.tree.list_directory(directory.ino)
            if not readdir_reply(token, b".", self.entry(directory.ino), 1):
                return
        if start_id <= 1:
            parent = self.tree.parent(directory.ino)
            if not readdir_reply(token, b"..", self.entry(parent), _DOT_ENTRIES):
                return
        entries = directory.entries
        counts = self._lookup_counts
        for index in range(max(start_id - _DOT_ENTRIES, 0), len(entries)):
            name, ino = entries[index]
            if counts is not None and start_id > 0:
                found = self.tree.lookup(directory.ino, name)
                if found is None:
                    continue
                ino = found
            if not readdir_reply(token, name, self.entry(ino), index + _DOT_ENTRIES + 1):
                return
            if counts is not None:
                counts.add(ino)

    @inline
    def releasedir(self, fh: int) -> None:
        self.directories.remove(fh)

    @inline
    def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Have the kernel never ask again: nothing waits to be written."""
        raise _NOT_IMPLEMENTED.fresh()

    # Files

    @inline
    def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise _READ_ONLY.fresh()
        ino = Ino(inode)
        return FileInfo(fh=self.files.add(ino, self.tree.open_file(ino)), keep_cache=True)

    @guarded
    async def read(self, fh: int, off: int, size: int) -> bytes:
        file = self.files.get(fh)
        data = file.read_nowait(off, size)
        if data is None:
            data = await self.threads.run(file.read, off, size)
        else:
            self.activity.inline_reads += 1
        self.activity.bytes_read += len(data)
        return data

    @inline
    def flush(self, fh: int) -> None:
        """Have the kernel never ask again: closing a file that was only read changes nothing."""
        raise _NOT_IMPLEMENTED.fresh()

    @inline
    def fsync(self, fh: int, datasync: bool) -> None:
        raise _NOT_IMPLEMENTED.fresh()

    @inline
    def release(self, fh: int) -> None:
        self.files.remove(fh).close()

    # Extended attributes

    async def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        """Return a value; the names the kernel asks for of itself are refused before all else.

        Written out rather than ``guarded``, whose second coroutine would make that refusal, which
        is most of what ``ls -l`` asks for, take 1.0 us instead of 0.6.
        """
        self.activity.requests["getxattr"] += 1
        if not self.has_xattrs:
            raise _NOT_IMPLEMENTED.fresh()
        if name.startswith(_KERNEL_XATTRS):
            raise _NO_DATA.fresh()
        try:
            return await self.threads.run(self.tree.get_xattr, Ino(inode), name)
        except FUSEError:
            raise
        except Exception as error:
            raise self.failures.translate("getxattr", error) from None

    @inline
    def listxattr(self, inode: int, ctx: RequestContext) -> Sequence[bytes]:
        if not self.has_xattrs:
            raise _NOT_IMPLEMENTED.fresh()
        return self.tree.list_xattrs(Ino(inode))
