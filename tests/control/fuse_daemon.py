"""A real FUSE mount of wimtui's type with one empty file, to test what daemons leave behind."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from typing import Any

import pyfuse3
import trio

from wimtui.control.mountinfo import MountTable
from wimtui.control.protocol import DaemonState
from wimtui.control.registry_entry import RegistryEntry, RegistryFile, new_mount_id
from wimtui.control.transport import ReceiveQueue

FILE = 2


class OneFile(pyfuse3.Operations):
    async def getattr(self, inode: Any, ctx: Any = None) -> pyfuse3.EntryAttributes:
        found = pyfuse3.EntryAttributes()
        found.st_ino = inode
        found.st_mode = stat.S_IFREG | 0o644 if inode == FILE else stat.S_IFDIR | 0o755
        return found

    async def lookup(self, parent_inode: Any, name: Any, ctx: Any) -> pyfuse3.EntryAttributes:
        if name != b"file":
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(FILE)

    async def open(self, inode: Any, flags: Any, ctx: Any) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=inode)


def main() -> None:
    point = sys.argv[1]
    entry = RegistryEntry.for_this_process(new_mount_id(), "/images/install.wim", point)
    with contextlib.ExitStack() as undo:
        file = RegistryFile.create(entry)
        undo.callback(file.remove)
        undo.enter_context(ReceiveQueue.create(entry.queue_name))
        options = {"fsname=install.wim", "subtype=wimtui"}
        pyfuse3.init(OneFile(), point, options)
        undo.callback(pyfuse3.close, unmount=False)
        mount = MountTable.read().at(point)
        assert mount is not None
        file.update(
            state=DaemonState.OK, device=mount.device, kernel_mount_id=mount.kernel_mount_id
        )
        os.write(1, b"ready\n")
        trio.run(pyfuse3.main)


if __name__ == "__main__":
    main()
