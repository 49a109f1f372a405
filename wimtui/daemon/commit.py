"""A commit while the mount goes on: written beside it, then put under it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import trio

from wimtui.control.protocol import CommitMode, ProgressEvent
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import WriteOptions
from wimtui.engine.commit.overlay import CommitPlan, commit_overlay
from wimtui.engine.progress import CancelToken
from wimtui.engine.staging.identity import WimIdentity
from wimtui.engine.staging.rebase import Rebase

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.control.protocol import Commit, Unmount
    from wimtui.daemon.staging import Staging
    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.options import WriteResult
    from wimtui.engine.progress import Progress
    from wimtui.engine.staging.snapshot import Snapshot

log = logging.getLogger(__name__)

EVENT_INTERVAL_S: Final = 0.1
"""How often progress is told; a writer that compresses reports thousands of times a second."""


class Committer:
    """Saves the changes of one mount; one commit at a time."""

    def __init__(self, staging: Staging) -> None:
        """Commit what is staged."""
        self.tell: Callable[[ProgressEvent], None] | None = None
        """Takes progress, on the trio thread."""
        self._staging = staging
        self._cancel: CancelToken | None = None
        self._done = trio.Event()
        self._told_at = 0.0

    @property
    def is_running(self) -> bool:
        """Whether a commit is under way."""
        return self._cancel is not None

    def cancel(self) -> None:
        """Stop the commit under way, if that is still possible."""
        if self._cancel is not None:
            self._cancel.cancel()

    async def wait(self) -> None:
        """Return when no commit is under way."""
        if self._cancel is not None:
            await self._done.wait()

    async def run(self, request: Commit | Unmount) -> WriteResult:
        """Write what is staged now into the WIM; what changes meanwhile stays staged.

        Raises:
            CancelledError: It was stopped; nothing has changed.
            WimError, OSError: It failed; the WIM is as before, and so is what is staged.
        """
        staging = self._staging
        overlay = staging.overlay
        self._cancel = CancelToken()
        self._done = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def report(progress: Progress) -> None:
            now = time.monotonic()
            is_last = progress.bytes_done >= progress.bytes_total > 0
            if self.tell is not None and (is_last or now - self._told_at >= EVENT_INTERVAL_S):
                self._told_at = now
                token.run_sync_soon(self.tell, _event(progress))

        plan = commit_plan(request, self._cancel, report)
        try:
            snapshot = await trio.to_thread.run_sync(overlay.freeze)
            try:
                result = await trio.to_thread.run_sync(
                    commit_overlay, staging.image.archive, overlay, snapshot, plan
                )
                if result.lock is not None:
                    staging.lock.close()
                    staging.lock = result.lock
                if result.is_written:
                    await self._rebase(snapshot, result)
            finally:
                await trio.to_thread.run_sync(snapshot.release)
        finally:
            self._cancel = None
            self._done.set()
        for warning in result.warnings:
            log.warning("%s: %s", result.path, warning)
        log.info("%s: committed, %d blobs written", result.path, result.blobs_written)
        return result

    async def _rebase(self, snapshot: Snapshot, result: WriteResult) -> None:
        staging = self._staging
        index = result.image_index or staging.image.index

        def prepare() -> tuple[Archive, WimIdentity, Rebase]:
            archive = staging.image.reopened()
            try:
                rebase = Rebase(staging.overlay, snapshot, archive.image(index), archive.blobs)
                return archive, WimIdentity.of(archive), rebase
            except BaseException:
                archive.close()
                raise

        archive, identity, rebase = await trio.to_thread.run_sync(prepare)
        if index != staging.image.index:
            staging.overlay.store.put_settings({"image": index})
        rebase.apply(identity)
        staging.image.move_to(archive, index)


def _event(progress: Progress) -> ProgressEvent:
    return ProgressEvent(
        operation="commit",
        phase=progress.phase.value,
        bytes_done=progress.bytes_done,
        bytes_total=progress.bytes_total,
        items_done=progress.items_done,
        items_total=progress.items_total,
        path=progress.path,
    )


def commit_plan(
    request: Commit | Unmount, cancel: CancelToken, report: Callable[[Progress], None]
) -> CommitPlan:
    """Return what a request asks for."""
    options = WriteOptions(
        rebuild=request.mode is CommitMode.REBUILD,
        recompress=bool(request.options.get("recompress")),
        solid=bool(request.options.get("solid")),
        integrity=True if request.check else None,
        progress=report,
        cancel=cancel,
    )
    if not request.new_image:
        return CommitPlan(options)
    properties = ImageProperties(
        name=request.image_name or None,
        description=request.image_description or None,
        boot=True if request.options.get("boot") else None,
    )
    return CommitPlan(options, properties)


def result_data(result: WriteResult) -> dict[str, int | bool]:
    """Return the figures of a commit for ``EndedEvent.data``."""
    return {
        "is_written": result.is_written,
        "is_rebuilt": result.is_rebuilt,
        "image_index": result.image_index,
        "old_size": result.old_size,
        "new_size": result.new_size,
        "blobs_written": result.blobs_written,
        "blobs_reused": result.blobs_reused,
        "blobs_copied": result.blobs_copied,
        "blobs_dropped": result.blobs_dropped,
    }
