"""A commit while the mount goes on: written beside it, then put under it."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from wimtui.control.protocol import CommitMode
from wimtui.daemon.commit_request import commit_plan
from wimtui.daemon.telling import Teller
from wimtui.engine.commit.errors import ArchiveChangedError
from wimtui.engine.commit.overlay import commit_overlay
from wimtui.engine.container.file_state import is_overwritten
from wimtui.engine.errors import FormatError, WimError
from wimtui.engine.progress import CancelToken, Phase, Progress
from wimtui.engine.staging.identity import WimIdentity
from wimtui.engine.staging.rebase import Rebase

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.control.protocol import Commit, ProgressEvent, Unmount
    from wimtui.daemon.staging import Staging
    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.options import WriteResult
    from wimtui.engine.commit.overlay import CommitPlan
    from wimtui.engine.staging.snapshot import Snapshot

log = logging.getLogger(__name__)


class Committer:
    """Saves the changes of one mount; one commit at a time."""

    def __init__(self, staging: Staging) -> None:
        """Commit what is staged."""
        self.tell: Callable[[ProgressEvent], None] | None = None
        """Takes progress, on the trio thread."""
        self._staging = staging
        self._cancel: CancelToken | None = None
        self._done = trio.Event()
        self._saved: Snapshot | None = None
        """What an unmount has saved, until the mount has ended."""
        self._unseen: WriteResult | None = None
        """The commit of ``_saved`` to the WIM, over which the overlay has not been put."""

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

    async def run(
        self, request: Commit | Unmount, cancel: CancelToken, *, is_last: bool = False
    ) -> WriteResult:
        """Write what is staged now; what changes meanwhile stays staged.

        Written to another file (``save_as``) all stays staged, as nothing of it is in the WIM.

        Args:
            request: How.
            cancel: Stops it.
            is_last: The mount ends next, with ``complete``, or goes on all the same, with
                ``go_on``; until then all stays staged.

        Raises:
            CancelledError: It was stopped; nothing has changed.
            WimError, OSError: It failed; the WIM is as before, and so is what is staged.
        """
        overlay = self._staging.overlay
        self._cancel = cancel
        self._done = trio.Event()
        report = Teller(self.tell, trio.lowlevel.current_trio_token())
        plan = commit_plan(request, cancel, report)
        try:
            report(Progress(Phase.SCAN))
            snapshot = await trio.to_thread.run_sync(overlay.freeze)
            try:
                scanned = len(snapshot.nodes)
                report(Progress(Phase.SCAN, items_done=scanned, items_total=scanned))
                cancel.check()
                result = await self._write(plan, snapshot)
                is_in_wim = result.is_written and plan.options.save_as is None
                if is_last and (is_in_wim or plan.options.save_as is not None):
                    self._saved = snapshot
                    self._unseen = result if is_in_wim else None
                elif is_in_wim:
                    await self._rebase(snapshot, result)
            finally:
                if self._saved is not snapshot:
                    await trio.to_thread.run_sync(snapshot.release)
        finally:
            self._cancel = None
            self._done.set()
        for warning in result.warnings:
            log.warning("%s: %s", result.path, warning)
        log.info("%s: committed, %d blobs written", result.path, result.blobs_written)
        return result

    async def _write(self, plan: CommitPlan, snapshot: Snapshot) -> WriteResult:
        staging = self._staging

        def write() -> WriteResult:
            archive, chosen = staging.image.archive, plan
            if plan.options.save_as is not None and self._is_written_to():
                # Then each blob is decoded and hashed, for its bytes may be others now.
                chosen = replace(plan, options=replace(plan.options, recompress=True))
            try:
                return commit_overlay(archive, staging.overlay, snapshot, chosen)
            except FormatError as error:
                if not is_overwritten(archive.wim):
                    raise
                problem = f"data that the result needs is gone ({error})"
                raise ArchiveChangedError.overwritten(archive.wim.path, problem) from error

        result = await trio.to_thread.run_sync(write)
        if result.lock is not None:
            staging.lock.close()
            staging.lock = result.lock
        return result

    def _is_written_to(self) -> bool:
        """Whether the very file that is mounted from has other tables than when it was opened."""
        try:
            now = WimIdentity.of(self._staging.image.archive)
        except (WimError, OSError):
            return True
        return not self._staging.overlay.store.facts.identity.is_same(now)

    async def complete(self, request: Unmount, first: WriteResult | None) -> WriteResult | None:
        """Commit what was written between the commit of an unmount and the end of the mount.

        The staging folder is to be dropped then, whatever it still has.

        Returns:
            What came of both.

        Raises:
            WimError, OSError: It failed; all is staged still.
        """
        staging = self._staging
        cancel = CancelToken()
        if self._saved is not None and not self._differs(self._saved):
            return first
        await self.go_on()
        if "save_as" not in request.options:
            if not await trio.to_thread.run_sync(lambda: staging.is_dirty):
                return first
            plain = replace(request, mode=CommitMode.APPEND, new_image=False, options={})
            result = await self.run(plain, cancel)
            return result if first is None else _sum(first, result)
        saved = str(request.options["save_as"])
        beside = f"{saved}.{secrets.token_hex(5)}"
        options = {**request.options, "save_as": beside}
        result = await self.run(replace(request, options=options), cancel)
        await trio.to_thread.run_sync(Path(beside).replace, saved)
        return replace(result, path=saved)

    async def go_on(self) -> bool:
        """The mount goes on after all: have it show the WIM, and what was saved change again.

        Returns:
            Whether it shows another state of the WIM than before.

        Raises:
            WimError, OSError: The WIM cannot be read; the mount shows what it showed.
        """
        if self._saved is None:
            return False
        saved, self._saved = self._saved, None
        unseen, self._unseen = self._unseen, None
        try:
            if unseen is not None:
                await self._rebase(saved, unseen)
        finally:
            await trio.to_thread.run_sync(saved.release)
        return unseen is not None

    def _differs(self, saved: Snapshot) -> bool:
        """Whether anything was changed since a snapshot that has not been released."""
        layer = self._staging.overlay.layer
        with layer.lock:
            entries = {number: delta.entries for number, delta in layer.directories.items()}
            return entries != saved.directories or layer.nodes != saved.nodes

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
        rebase.apply(identity, index)
        staging.image.move_to(archive, index)


def _sum(first: WriteResult, second: WriteResult) -> WriteResult:
    """Return what two commits in a row come to."""
    if not first.is_written or not second.is_written:
        return second if second.is_written else first
    return replace(
        second,
        is_rebuilt=first.is_rebuilt or second.is_rebuilt,
        old_size=first.old_size,
        blobs_written=first.blobs_written + second.blobs_written,
        blobs_reused=first.blobs_reused + second.blobs_reused,
        blobs_copied=first.blobs_copied,
        blobs_dropped=first.blobs_dropped + second.blobs_dropped,
        warnings=(*first.warnings, *second.warnings),
        lock=None,
    )


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
