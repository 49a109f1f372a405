"""What front ends may ask and do about the staged changes of a living mount."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, ClassVar, Final

import trio

from wimtui.control.protocol import OkReply, Reply
from wimtui.engine.errors import UsageError
from wimtui.engine.fuse.invalidate import KernelCache
from wimtui.engine.staging.changes import ChangeTotals, count_changes, list_changes
from wimtui.engine.staging.diff import diff_changes
from wimtui.engine.staging.inspection import compare_path, read_piece
from wimtui.engine.staging.reports import change_report
from wimtui.engine.staging.restore import restore

if TYPE_CHECKING:
    from wimtui.control.bulk import BulkFolder
    from wimtui.control.protocol import Data
    from wimtui.daemon.commit import Committer
    from wimtui.daemon.staging import Staging
    from wimtui.engine.fuse.write_operations import WriteOperations

_LOOKING: Final = frozenset(
    {
        "lookup", "forget", "getattr", "access", "readlink", "statfs", "opendir", "readdir",
        "releasedir", "open", "read", "release", "getxattr", "listxattr", "fsync", "fsyncdir",
        "flush",
    }
)  # fmt: skip
"""Requests that change nothing; an open that cuts a file counts as ``truncate`` too."""

_REST_FACTOR: Final = 10
"""Counting changes takes at most a tenth of the time, however many there are."""


MAX_READ_NBYTES: Final = 8 << 20
"""The most that one reply gives out of a file."""


class StagedChanges:
    """The changes of one mount; asked from the trio thread, answered from others.

    Attributes:
        staging: What is staged.
        committer: What saves it.
    """

    REQUESTS: ClassVar = frozenset({"changes", "compare", "diff", "read", "restore", "streams"})

    def __init__(self, staging: Staging, operations: WriteOperations, committer: Committer) -> None:
        self.staging = staging
        self.committer = committer
        self._operations = operations
        self._cache = KernelCache()
        self._totals = ChangeTotals(0, 0)
        self._counted_at = -1
        self._next_count_s = 0.0
        self._recounts = 0

    async def is_dirty(self) -> bool:
        """Whether anything is staged, as of now."""
        return await trio.to_thread.run_sync(lambda: self.staging.is_dirty)

    async def totals(self) -> ChangeTotals:
        """Return how much is staged; of a moment ago where counting takes long."""
        changing = self._changing()
        if changing != self._counted_at and time.monotonic() >= self._next_count_s:
            began = time.monotonic()
            overlay = self.staging.overlay
            self._totals = await trio.to_thread.run_sync(count_changes, overlay)
            self._counted_at = changing
            now = time.monotonic()
            self._next_count_s = now + _REST_FACTOR * (now - began)
        return self._totals

    def recount(self) -> None:
        """Have the next ``totals`` count again: something else than a request has changed them."""
        self._counted_at = -1
        self._next_count_s = 0.0
        self._recounts += 1

    def _changing(self) -> int:
        requests = self._operations.activity.requests
        return sum(count for name, count in requests.items() if name not in _LOOKING)

    @property
    def revision(self) -> str:
        """What is another whenever something may have changed."""
        return f"{self._changing()}.{len(self._operations.copy_ups)}.{self._recounts}"

    async def answer(self, name: str, data: Data, bulk: BulkFolder) -> Reply:
        """Answer a request; lists of any length are in the reply's bulk file.

        Raises:
            WimError: A path that is not there, or data that cannot be read.
        """
        path = os.fsencode(str(data.get("path", "/")))
        overlay = self.staging.overlay
        if name == "restore":
            return await self._restore(path)
        if name == "diff":
            text = await trio.to_thread.run_sync(lambda: b"".join(diff_changes(overlay, path)))
            return OkReply(bulk_path=bulk.store(text))
        if name == "compare":
            found = await trio.to_thread.run_sync(compare_path, overlay, path)
            return OkReply(bulk_path=bulk.store(json.dumps(found.as_json()).encode("ascii")))
        if name == "streams":
            piece = await trio.to_thread.run_sync(read_piece, overlay, path, b"", 0, 0)
            return OkReply(bulk_path=bulk.store(json.dumps(piece.named_streams).encode("ascii")))
        if name == "read":
            return await self._read(path, data, bulk)
        revision = self.revision
        if data.get("known") == revision:
            return OkReply(data={"revision": revision})
        changes = await trio.to_thread.run_sync(list_changes, overlay)
        # A line for each: whoever has the list before parses only what is another.
        lines = [json.dumps(change_report(change)) for change in changes]
        listed = ",\n".join(lines).join(("[\n", "\n]")).encode("ascii")
        return OkReply(
            bulk_path=bulk.store(listed), data={"count": len(changes), "revision": revision}
        )

    async def _read(self, path: bytes, data: Data, bulk: BulkFolder) -> Reply:
        """Give out bytes of one stream, and in the reply what there is to know of its file."""
        stream = os.fsencode(str(data.get("stream", "")))
        offset, count = int(data.get("offset") or 0), int(data.get("count") or 0)
        if offset < 0 or not 0 <= count <= MAX_READ_NBYTES:
            raise UsageError(f"{count} bytes cannot be read at offset {offset}")
        before = bool(data.get("before"))
        overlay = self.staging.overlay
        piece = await trio.to_thread.run_sync(
            lambda: read_piece(overlay, path, stream, offset, count, before=before)
        )
        return OkReply(
            bulk_path=bulk.store(piece.data) if piece.data else "",
            data={
                "size": piece.size,
                "mode": piece.mode,
                "mtime_ns": piece.mtime_ns,
                "named_streams": len(piece.named_streams),
            },
        )

    async def _restore(self, path: bytes) -> Reply:
        """Undo changes, and have the kernel look again."""
        if self.committer.is_running:
            raise UsageError("a commit is under way", hint="wait for it, or cancel it")
        overlay = self.staging.overlay
        restored = await trio.to_thread.run_sync(restore, overlay, path)
        self.recount()
        for parent, name in restored.entries:
            await self._cache.invalidate_entry(parent, name)
        await self._cache.invalidate_inodes(restored.inodes)
        # The kernel forgets what it knew; of what it never knew nobody else would tell.
        self._operations.let_go_unless_known(restored.unlinked)
        return OkReply(data={"inodes": len(restored.inodes), "names": len(restored.entries)})
