"""A read-only mount: everything that would change it is refused with EROFS."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NoReturn

from wimtui.engine.fuse.errno_map import Refusal
from wimtui.engine.fuse.handler import inline
from wimtui.engine.fuse.read_operations import ReadOperations

if TYPE_CHECKING:
    from pyfuse3 import EntryAttributes, RequestContext, SetattrFields

_READ_ONLY = Refusal(errno.EROFS)


class WimOperations(ReadOperations):
    """Answers for a tree that does not change.

    The kernel refuses by itself on a mount with ``ro``; these answer where it does not, such as
    after ``mount -o remount,rw``.
    """

    @inline
    def setattr(
        self,
        inode: int,
        attr: EntryAttributes,
        fields: SetattrFields,
        fh: int | None,
        ctx: RequestContext,
    ) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext
    ) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext
    ) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def write(self, fh: int, off: int, buf: bytes) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def setxattr(self, inode: int, name: bytes, value: bytes, ctx: RequestContext) -> NoReturn:
        raise _READ_ONLY.fresh()

    @inline
    def removexattr(self, inode: int, name: bytes, ctx: RequestContext) -> NoReturn:
        raise _READ_ONLY.fresh()
