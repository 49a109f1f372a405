"""Mount the sample tree in a process of its own: pyfuse3 has one session a process.

``python -m tests.fuse.mount_fake '{"mount_point": "/mnt", ...}'`` prints one line of JSON when the
mount is ready, answers each line of standard input with one line, and says how it ended.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import trio

from tests.fuse.fake_tree import FakeTree, sample_tree
from tests.fuse.fake_write_tree import FakeWriteTree
from wimtui.engine.fuse.invalidate import KernelCache
from wimtui.engine.fuse.operations import WimOperations
from wimtui.engine.fuse.options import FuseOptions
from wimtui.engine.fuse.read_session import ReadSession
from wimtui.engine.fuse.session import FuseSession
from wimtui.engine.fuse.threads import WorkerThreads
from wimtui.engine.fuse.write_operations import WriteOperations
from wimtui.engine.tree import ROOT_INO, Ino


class Runner:
    """One mount that takes orders."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.tree: FakeTree = sample_tree(
            settings.get("big_size", 1 << 30), settings.get("flat_files", 10_000)
        )
        self.threads = WorkerThreads(2)
        timeout_seconds = settings.get("timeout_seconds", 1e9)
        has_xattrs = settings.get("has_xattrs", True)
        self.operations: WimOperations | WriteOperations
        if settings.get("writes"):
            self.tree = FakeWriteTree(self.tree)
            self.operations = WriteOperations(
                self.tree,
                self.threads,
                timeout_seconds=timeout_seconds,
                has_xattrs=has_xattrs,
            )
        else:
            self.operations = WimOperations(
                self.tree, self.threads, timeout_seconds=timeout_seconds, has_xattrs=has_xattrs
            )
        options = FuseOptions.parse(
            settings.get("options", []), read_only=not settings.get("writes")
        )
        mount_point = Path(settings["mount_point"] + settings.get("mount_point_suffix", ""))
        if settings.get("session") == "server":
            assert isinstance(self.operations, WimOperations)
            self.session: FuseSession = ReadSession(
                self.operations,
                mount_point,
                options,
                opens_are_needed=settings.get("opens_are_needed", True),
            )
        else:
            self.session = FuseSession(self.operations, mount_point, options)
        self.cache = KernelCache()

    async def main(self) -> None:
        self.session.open()
        unmount = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.take_orders)
                end = await self.session.serve()
                nursery.cancel_scope.cancel()
            say({"end": end.value, "bugs": self.operations.failures.bugs})
            unmount = True
        finally:
            self.session.close(unmount=unmount)
            self.threads.close()

    async def take_orders(self) -> None:
        await self.session.ready.wait()
        say({"ready": True})
        stdin = trio.lowlevel.FdStream(0)
        buffer = b""
        while data := await stdin.receive_some():
            buffer += data
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                say(await self.obey(line.decode()))

    async def obey(self, order: str) -> object:
        match order:
            case "activity":
                activity = self.operations.activity
                return {
                    "requests": dict(activity.requests),
                    "bytes_read": activity.bytes_read,
                    "open": self.operations.files.open_inodes(),
                    "directories": len(self.operations.directories),
                    "immediate": self.session.loop.immediate,
                }
            case "grow":
                hello = self.tree.nodes[self.tree.root.children[b"hello"]]
                hello.size, hello.file = (
                    3,
                    self.tree.add_file(self.tree.root, b"fresh", b"new").file,
                )
                known = await self.cache.invalidate_inode(hello.ino)
                entry = await self.cache.invalidate_entry(ROOT_INO, b"fresh")
                unknown = await self.cache.invalidate_inode(Ino(999_999_999))
                return {"known": known, "entry": entry, "unknown": unknown}
            case "copies" if isinstance(self.tree, FakeWriteTree):
                return {"copies": self.tree.copies, "syncs": self.tree.syncs}
            case "nodes":
                return {"nodes": len(self.tree.nodes)}
            case "break":
                self.tree.fail = ZeroDivisionError("a bug in the tree")
            case "mend":
                self.tree.fail = None
            case "second":
                second = FuseSession(
                    self.operations, self.session.mount_point, self.session.options
                )
                try:
                    second.open()
                except Exception as error:
                    return {"error": type(error).__name__, "text": str(error)}
            case "crash":
                raise RuntimeError("crash on request")
            case "terminate":
                self.session.terminate()
        return {"done": order}


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    trio.run(Runner(json.loads(sys.argv[1])).main)
