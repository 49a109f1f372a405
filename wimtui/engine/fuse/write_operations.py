"""Requests that change a tree, answered when the change is kept: an adapter without policy."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

import trio
from pyfuse3 import FileInfo

from wimtui.engine.fuse.attributes import FOREVER_SECONDS
from wimtui.engine.fuse.copy_up import CopyUps
from wimtui.engine.fuse.errno_map import Refusal
from wimtui.engine.fuse.handler import guarded, inline
from wimtui.engine.fuse.late_file import LateFile
from wimtui.engine.fuse.lookup_counts import LookupCounts
from wimtui.engine.fuse.read_operations import ReadOperations
from wimtui.engine.tree import (
    ROOT_INO,
    AttributeChanges,
    Creator,
    Ino,
    RenameMode,
    WriteTree,
    XattrMode,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyfuse3 import EntryAttributes, RequestContext, SetattrFields

    from wimtui.engine.fuse.threads import WorkerThreads

_INVALID = Refusal(errno.EINVAL)
_NO_ENTRY = Refusal(errno.ENOENT)
_NOT_WRITABLE = Refusal(errno.EBADF)

# linux/fs.h. RENAME_WHITEOUT is for overlayfs and refused like what nobody knows.
_RENAME_MODES: Final = {
    0: RenameMode.REPLACE,
    1: RenameMode.NO_REPLACE,
    2: RenameMode.EXCHANGE,
}

SYNCS_AT_ONCE: Final = 8
"""Threads that wait for the disk; those that answer reads never do."""

ALIAS_SECONDS: Final = 1.0
"""How long attributes are kept where one file can be reached in ways the kernel knows apart."""


class WriteOperations(ReadOperations):
    """Answers for a tree that changes.

    Every change is made on the trio thread without a checkpoint, hence in the order of asking,
    and answered when the tree has kept it. Three things wait in threads of their own: copies
    (``CopyUps``), fsync, and what reading waits for (docs/CONCURRENCY.md).

    The kernel keeps names and attributes for good: it is the only one who changes them, and it
    knows what each of its requests changes. What a restore or a commit changes behind its back
    is told by ``KernelCache``. It collects no writes (docs/decisions/0003-write-through.md): what
    write(2) has answered is in the staging folder. Where several names stand for one entry,
    whatever their case or as ``file:stream``, it cannot know, and asks every time.
    """

    tree: WriteTree

    def __init__(
        self,
        tree: WriteTree,
        threads: WorkerThreads,
        *,
        timeout_seconds: float = FOREVER_SECONDS,
        has_xattrs: bool = True,
        has_aliases: bool = False,
    ) -> None:
        """Answer from a tree.

        Args:
            tree: What to show and to change.
            threads: Where reads that block go.
            timeout_seconds: How long the kernel may keep what it was told.
            has_xattrs: False where no node can have any.
            has_aliases: True where one entry has several names.
        """
        self._counts = LookupCounts()
        super().__init__(
            tree,
            threads,
            timeout_seconds=ALIAS_SECONDS if has_aliases else timeout_seconds,
            has_xattrs=has_xattrs,
            lookup_counts=self._counts,
        )
        self.copy_ups = CopyUps(tree)
        self._has_aliases = has_aliases
        self._syncs = trio.CapacityLimiter(SYNCS_AT_ONCE)

    def entry(self, ino: Ino) -> EntryAttributes:
        """Return the attributes of a node in pyfuse3's form."""
        entry = super().entry(ino)
        if self._has_aliases:
            entry.entry_timeout = 0
        return entry

    def interrupt(self) -> None:
        """Stop copies."""
        self.copy_ups.cancel_all()

    def close(self) -> None:
        """Close what the kernel left open, and let go of what it knew, as it forgets nothing."""
        super().close()
        for ino in self._counts.known():
            self._let_go(ino)

    # What the kernel knows

    @inline
    def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        ino = self.tree.lookup(Ino(parent_inode), name)
        if ino is None:
            if self._has_aliases:
                raise _NO_ENTRY.fresh()
            return self._absent
        return self._handed_out(ino)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Let inodes go that the kernel does not know any more. It takes no answer, so no error."""
        self.activity.requests["forget"] += 1
        for ino in self._counts.forget((Ino(ino), lookups) for ino, lookups in inode_list):
            if not self.files.is_open(ino):
                self._let_go(ino)

    def let_go_unless_known(self, inos: Iterable[Ino]) -> None:
        """Let go of nodes that lost their names by other ways than the kernel's."""
        for ino in inos:
            if ino not in self._counts and not self.files.is_open(ino):
                self._let_go(ino)

    def _handed_out(self, ino: Ino) -> EntryAttributes:
        entry = self.entry(ino)
        self._counts.add(ino)
        return entry

    def _let_go(self, ino: Ino) -> None:
        try:
            self.tree.forget(ino)
        except Exception as error:
            self.failures.translate("forget", error)

    # Names

    @inline
    def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        creator = Creator(mode, ctx.uid, ctx.gid, rdev)
        return self._handed_out(self.tree.create_node(Ino(parent_inode), name, creator))

    @inline
    def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext
    ) -> EntryAttributes:
        creator = Creator(stat.S_IFDIR | stat.S_IMODE(mode), ctx.uid, ctx.gid)
        return self._handed_out(self.tree.make_directory(Ino(parent_inode), name, creator))

    @inline
    def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        creator = Creator(stat.S_IFLNK | 0o777, ctx.uid, ctx.gid)
        return self._handed_out(self.tree.make_symlink(Ino(parent_inode), name, target, creator))

    @inline
    def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        ino = Ino(inode)
        self.tree.link(ino, Ino(new_parent_inode), new_name)
        return self._handed_out(ino)

    @inline
    def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        self.tree.unlink(Ino(parent_inode), name)

    @inline
    def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        self.tree.remove_directory(Ino(parent_inode), name)

    @inline
    def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        mode = _RENAME_MODES.get(flags)
        if mode is None:
            raise _INVALID.fresh()
        self.tree.rename(Ino(parent_inode_old), name_old, Ino(parent_inode_new), name_new, mode)

    # Files

    @inline
    def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        creator = Creator(stat.S_IFREG | stat.S_IMODE(mode), ctx.uid, ctx.gid)
        ino = self.tree.create_node(Ino(parent_inode), name, creator)
        entry = self._handed_out(ino)
        return FileInfo(fh=self._opened(ino, flags, ctx), keep_cache=True), entry

    @inline
    def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        """Open; O_TRUNC comes with it, and no setattr does, so nothing is ever copied for it."""
        ino = Ino(inode)
        handle = self._opened(ino, flags, ctx)
        if flags & os.O_TRUNC:
            try:
                self._truncate(ino, ctx.uid)
            except BaseException:
                self.files.remove(handle).close()
                raise
        return FileInfo(fh=handle, keep_cache=True)

    def _opened(self, ino: Ino, flags: int, ctx: RequestContext) -> int:
        if flags & os.O_ACCMODE == os.O_RDONLY:
            return self.files.add(ino, self.tree.open_file(ino))
        return self.files.add(ino, LateFile(self.tree, ino, ctx.pid))

    def _truncate(self, ino: Ino, uid: int) -> None:
        """Empty a file; without the kernel's setattr, setuid and setgid are ours to clear."""
        self.activity.requests["truncate"] += 1
        mode = self.tree.attributes(ino).mode
        kept = mode & ~stat.S_ISUID
        if mode & stat.S_IXGRP:
            kept &= ~stat.S_ISGID
        changed_mode = kept if kept != mode and uid != 0 else None
        self.tree.change(ino, AttributeChanges(size=0, mode=changed_mode))

    @guarded
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        file = self.files.get(fh)
        if not isinstance(file, LateFile):
            raise _NOT_WRITABLE.fresh()
        if not file.is_open_for_writing():
            await self.copy_ups.bring(file.ino, None, file.thread_id)
        while (written := file.writer.write_nowait(off, buf)) is None:
            await self.copy_ups.bring(file.ino, None, file.thread_id)
        self.activity.bytes_written += written
        return written

    @guarded
    async def setattr(
        self,
        inode: int,
        attr: EntryAttributes,
        fields: SetattrFields,
        fh: int | None,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Change attributes; pyfuse3 has turned UTIME_NOW into times already."""
        ino = Ino(inode)
        changes = AttributeChanges(
            mode=attr.st_mode if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            size=attr.st_size if fields.update_size else None,
            atime_ns=attr.st_atime_ns if fields.update_atime else None,
            mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
        )
        if changes.size is not None:
            await self.copy_ups.bring(ino, changes.size, ctx.pid)
        if changes != _NO_CHANGES:
            self.tree.change(ino, changes)
        return self.entry(ino)

    @guarded
    async def fsync(self, fh: int, datasync: bool) -> None:
        await self._sync(self.files.ino(fh), datasync)

    @guarded
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        await self._sync(self.directories.ino(fh), datasync)

    async def _sync(self, ino: Ino, data_only: bool) -> None:
        await trio.to_thread.run_sync(
            lambda: self.tree.sync(ino, data_only=data_only), limiter=self._syncs
        )

    @inline
    def release(self, fh: int) -> None:
        ino = self.files.ino(fh)
        self.files.remove(fh).close()
        if ino not in self._counts and ino != ROOT_INO and not self.files.is_open(ino):
            self._let_go(ino)

    # Extended attributes

    @inline
    def setxattr(self, inode: int, name: bytes, value: bytes, ctx: RequestContext) -> None:
        """Set, whatever was there: pyfuse3 has obeyed XATTR_CREATE and XATTR_REPLACE already.

        It asks getxattr first. The kernel holds the inode's lock over both, so nobody comes in
        between.
        """
        self.tree.set_xattr(Ino(inode), name, value, XattrMode.ANY)

    @inline
    def removexattr(self, inode: int, name: bytes, ctx: RequestContext) -> None:
        self.tree.remove_xattr(Ino(inode), name)


_NO_CHANGES: Final = AttributeChanges()
