"""One mount while it is served, up to an end that leaves nothing behind but what is staged."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import trio

from wimtui.control.errors import ControlError, MountBusyError, NotAMountError
from wimtui.control.holders import find_holders
from wimtui.control.mountinfo import MountTable
from wimtui.control.protocol import (
    Cancel,
    Commit,
    DaemonState,
    Disposition,
    EndedEvent,
    ErrorReply,
    Event,
    Extension,
    OkReply,
    Outcome,
    Reply,
    Request,
    StateEvent,
    Status,
    StatusReply,
    Unmount,
)
from wimtui.control.unmount import busy_error, unmount_kernel
from wimtui.daemon.server import RequestServer
from wimtui.daemon.wim_watch import WimWatch
from wimtui.engine.errors import CancelledError, UsageError, WimError
from wimtui.engine.fuse.session import SessionEnd
from wimtui.engine.progress import CancelToken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wimtui.control.bulk import BulkFolder
    from wimtui.control.handshake import Startup
    from wimtui.control.mount_request import MountRequest
    from wimtui.control.registry_entry import RegistryFile
    from wimtui.control.transport import ReceiveQueue
    from wimtui.daemon.changes import StagedChanges
    from wimtui.daemon.mounted_image import MountedImage
    from wimtui.engine.commit.options import WriteResult
    from wimtui.engine.fuse.session import FuseSession

log = logging.getLogger(__name__)

REGISTRY_INTERVAL_S = 10.0
END_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_RELEASE_S = 1.0
"""How long the kernel may take to tell us of a file that was closed."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What runs, and who wants to know how it ends."""

    name: str
    """``commit`` or ``unmount``."""
    requester: str
    request_id: int
    cancel: CancelToken = field(default_factory=CancelToken)

    def is_meant(self, request: Cancel, requester: str) -> bool:
        """Whether a front end wants this to stop."""
        mine = (self.request_id, self.requester)
        return not request.operation_id or (request.operation_id, requester) == mine


class MountLife:
    """A mount while it is served: who may end it, and what it says of itself."""

    def __init__(
        self,
        request: MountRequest,
        image: MountedImage,
        changes: StagedChanges | None,
        session: FuseSession,
        registry: RegistryFile,
        queue: ReceiveQueue,
        bulk: BulkFolder,
    ) -> None:
        self._request = request
        self._image = image
        self._wim = WimWatch(image, lambda found: self._note(wim_state=found.value))
        self._changes = changes
        self._session = session
        self._registry = registry
        self._bulk = bulk
        self._server = RequestServer(queue, bulk, request.mount_id, self._answer)
        self._nursery: trio.Nursery | None = None
        self._operation: Operation | None = None
        self._unmount_request: Unmount | None = None
        self._result: WriteResult | None = None
        if changes is not None:
            changes.committer.tell = self._tell_all

    async def run(
        self, startup: Startup, log_path: Path | None, signals: AsyncIterator[int]
    ) -> None:
        """Serve until unmounted; on a crash the mount point stays dead rather than empty."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._announce, startup, log_path)
            nursery.start_soon(self._server.serve)
            nursery.start_soon(self._obey_signals, signals)
            nursery.start_soon(self._keep_registered)
            nursery.start_soon(self._wim.run)
            end = await self._session.serve()
            log.info("%s: %s", self._request.mount_point, end.value)
            self._session.close(unmount=True)
            problem = await self._end_staging(is_told_to_end=end is SessionEnd.TERMINATED)
            await self._say_goodbye(problem)
            nursery.cancel_scope.cancel()

    async def _announce(self, startup: Startup, log_path: Path | None) -> None:
        await self._session.ready.wait()
        mount = MountTable.read().at(self._request.mount_point)
        self._note(
            state=DaemonState.OK,
            kernel_mount_id=0 if mount is None else mount.kernel_mount_id,
            device="" if mount is None else mount.device,
        )
        startup.ready(self._request.mount_id, log_path)
        log.info("%s: image %d mounted", self._request.mount_point, self._image.index)

    async def _obey_signals(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number in END_SIGNALS:
                log.info("signal %d: unmounting", number)
                self._session.terminate()

    async def _keep_registered(self) -> None:
        """Write the registry entry again when /run/user/UID went with the user's last logout."""
        while True:
            await trio.sleep(REGISTRY_INTERVAL_S)
            try:
                self._registry.ensure()
                if self._changes is not None:
                    self._changes.staging.close_former()
            except ControlError as error:
                log.warning("%s", error)

    async def _end_staging(self, *, is_told_to_end: bool) -> Exception | None:
        """Close what is staged; return why a last commit failed, if it did.

        Whoever unmounted without asking us discards nothing.
        """
        if self._changes is None:
            return None
        staging, committer = self._changes.staging, self._changes.committer
        request = self._unmount_request
        if is_told_to_end and request is None:
            committer.cancel()
        await committer.wait()
        problem: Exception | None = None
        discards = request is not None and request.disposition is Disposition.DISCARD
        if request is not None and request.disposition is Disposition.COMMIT:
            try:
                self._result = await committer.complete(request, self._result)
                # What was saved is staged still.
                discards = True
            except (WimError, OSError) as error:
                log.error("%s", error)
                problem = error
        await trio.to_thread.run_sync(lambda: staging.end(discard=discards))
        if staging.is_left:
            # The kernel gives device and mount id out again, to mounts that are not ours.
            self._note(state=DaemonState.DETACHED, device="", kernel_mount_id=0)
            log.info("%s: what is staged stays in %s", self._request.mount_point, staging.folder)
        return problem

    async def _say_goodbye(self, problem: Exception | None) -> None:
        if problem is not None:
            ended = _failure("unmount", problem)
        else:
            ended = EndedEvent(operation="unmount", outcome=Outcome.DONE)
            if self._result is not None:
                text = "; ".join(self._result.warnings)
                ended = replace(ended, text=text, data=_result_data(self._result))
        self._tell_all(ended)
        requester = "" if self._operation is None else self._operation.requester
        await self._server.drain(requester)

    async def _answer(self, request: Request, server: RequestServer) -> Reply:
        match request:
            case Status():
                return await self._status()
            case Unmount():
                return await self._begin_unmount(request, server)
            case Commit():
                return self._begin_commit(request, server)
            case Cancel():
                running = self._operation
                if running is not None and running.is_meant(request, server.requester):
                    running.cancel.cancel()
                return OkReply()
            case Extension(name=name, data=data):
                if self._changes is not None and name == "estimate":
                    from wimtui.daemon.estimates import estimate_reply

                    return await estimate_reply(self._changes.staging, data)
                if self._changes is not None and name in self._changes.REQUESTS:
                    return await self._changes.answer(name, data, self._bulk)
                return ErrorReply(code=106, text=f"unknown request {name!r}", name="version")
        return ErrorReply(code=106, text=f"unknown request {request.TYPE!r}", name="version")

    async def _status(self) -> StatusReply:
        activity = self._session.operations.activity
        totals = None if self._changes is None else await self._changes.totals()
        cache = self._image.cache_figures()
        await self._wim.look()
        return StatusReply(
            state=self._registry.entry.state,
            mount_id=self._request.mount_id,
            mode="ro" if self._changes is None else "rw",
            image_index=self._image.index,
            image_name=self._image.name,
            wim_path=self._request.wim_path,
            mount_point=self._request.mount_point,
            staging_path=self._registry.entry.staging_path,
            changes=0 if totals is None else totals.count,
            staged_nbytes=0 if totals is None else totals.staged_nbytes,
            open_handles=len(self._session.operations.files),
            operation="" if self._operation is None else self._operation.name,
            data={
                "pid": os.getpid(),
                "started_at_ns": activity.started_at_ns,
                "reads": activity.reads,
                "bytes_read": activity.bytes_read,
                "writes": activity.writes,
                "bytes_written": activity.bytes_written,
                "requests": sum(activity.requests.values()),
                **cache,
            },
        )

    # Commits

    def _begin_commit(self, request: Commit, server: RequestServer) -> Reply:
        if self._changes is None:
            raise UsageError("the mount is read-only: there is nothing to commit")
        if self._operation is not None:
            return self._busy()
        assert self._nursery is not None
        self._operation = Operation("commit", server.requester, server.request_id)
        self._nursery.start_soon(self._commit, request, self._changes, self._operation.cancel)
        return OkReply()

    def _busy(self) -> ErrorReply:
        assert self._operation is not None
        text = f"{self._operation.name} is under way already"
        hint = "wimtui watch shows how far it is"
        return ErrorReply(code=79, text=text, hint=hint, name="busy")

    async def _commit(self, request: Commit, changes: StagedChanges, cancel: CancelToken) -> None:
        try:
            result = await self._save(request, changes, cancel)
        except (WimError, ControlError, OSError) as error:
            log.error("commit: %s", error)
            ended = _failure("commit", error)
        else:
            text = "; ".join(result.warnings)
            ended = EndedEvent(operation="commit", text=text, data=_result_data(result))
        self._set_state(DaemonState.OK)
        self._tell_all(ended)
        self._operation = None

    async def _save(
        self, request: Commit | Unmount, changes: StagedChanges, cancel: CancelToken
    ) -> WriteResult:
        """Commit what is staged; the mount shows the WIM's new state from then on."""
        self._set_state(DaemonState.COMMITTING)
        is_last = isinstance(request, Unmount)
        result = await changes.committer.run(request, cancel, is_last=is_last)
        changes.recount()
        if result.is_written and "save_as" not in request.options and not is_last:
            self._note_image(changes)
        return result

    def _note_image(self, changes: StagedChanges) -> None:
        """Write down what the mount shows from now on."""
        changes.staging.note_image()
        self._registry.update(image_index=self._image.index, image_name=self._image.name)

    async def _go_on(self, changes: StagedChanges) -> str:
        """Go on after a commit that was to be the last; return what went wrong with that."""
        try:
            if await changes.committer.go_on():
                changes.recount()
                self._note_image(changes)
        except (WimError, ControlError, OSError) as error:
            log.error("%s", error)
            return f"; the mount still shows the WIM as it was: {error}"
        return ""

    # The end

    async def _begin_unmount(self, request: Unmount, server: RequestServer) -> Reply:
        if self._operation is not None:
            return self._busy()
        operation = Operation("unmount", server.requester, server.request_id)
        is_careful = request.disposition is Disposition.IF_CLEAN
        if self._changes is not None and is_careful and await self._changes.is_dirty():
            return ErrorReply(code=79, text="there are uncommitted changes", name="dirty")
        assert self._nursery is not None
        self._operation = operation
        self._unmount_request = request
        self._nursery.start_soon(self._unmount, request, operation.cancel)
        return OkReply()

    async def _unmount(self, request: Unmount, cancel: CancelToken) -> None:
        """Have the kernel unmount, so that it is the kernel that says whether files are open."""
        where = self._mount_point_now()
        changes = self._changes
        try:
            if changes is not None and request.disposition is Disposition.COMMIT:
                if not request.lazy:
                    await self._refuse_if_held(where)
                self._result = await self._save(request, changes, cancel)
            self._set_state(DaemonState.UNMOUNTING)
            await trio.to_thread.run_sync(lambda: unmount_kernel(where, lazy=request.lazy))
            if request.lazy:
                # The kernel keeps a detached mount, and us, until its last user lets go.
                self._session.terminate()
        except NotAMountError:
            self._session.terminate()
        except (ControlError, WimError, OSError) as error:
            ended = _failure("unmount", error)
            if self._result is not None and self._result.is_written:
                ended = replace(ended, text=f"{ended.text}; what was staged has been saved")
            if changes is not None:
                ended = replace(ended, text=ended.text + await self._go_on(changes))
            self._unmount_request = self._result = None
            self._set_state(DaemonState.OK)
            self._tell_all(ended)
            self._operation = None

    async def _refuse_if_held(self, where: str) -> None:
        """Raise MountBusyError where somebody uses a mount that is about to be committed and go.

        What other users hold open only the kernel knows, and we: it may tell us of what was closed
        a moment later than it tells whoever closed it.
        """
        files = self._session.operations.files
        holders = await trio.to_thread.run_sync(find_holders, where)
        with trio.move_on_after(_RELEASE_S):
            while len(files) and not holders:
                await trio.sleep(_RELEASE_S / 20)
                holders = await trio.to_thread.run_sync(find_holders, where)
        if holders or len(files):
            raise await trio.to_thread.run_sync(busy_error, where)

    def _mount_point_now(self) -> str:
        """Return where the mount is: a folder above it may have been renamed."""
        place = self._request.mount_point
        moved = [mount.mount_point for mount in MountTable.read().of_device(self._device)]
        return place if place in moved or not moved else moved[0]

    @property
    def _device(self) -> str:
        return self._registry.entry.device

    def _tell_all(self, event: Event) -> None:
        """Tell all subscribers, and whoever began the operation."""
        operation = self._operation or Operation("", "", 0)
        self._server.broadcast(
            event, requester=operation.requester, request_id=operation.request_id
        )

    def _note(self, **changes: Any) -> None:
        """Write into the registry; a full disk there must not end a mount."""
        try:
            self._registry.update(**changes)
        except ControlError as error:
            log.warning("%s", error)

    def _set_state(self, state: DaemonState) -> None:
        self._note(state=state)
        self._server.broadcast(StateEvent(state=state))


def _result_data(result: WriteResult) -> dict[str, int | bool]:
    # A mount that nobody writes to starts in half the time without what commits.
    from wimtui.daemon.commit import result_data

    return result_data(result)


def _failure(operation: str, error: Exception) -> EndedEvent:
    if isinstance(error, CancelledError):
        text = "stopped: the WIM is as before, and the mount goes on"
        return EndedEvent(
            operation=operation, outcome=Outcome.CANCELLED, code=error.code, text=text
        )
    return EndedEvent(
        operation=operation,
        outcome=Outcome.FAILED,
        code=error.code if isinstance(error, ControlError | WimError) else 100,
        text=error.message if isinstance(error, MountBusyError) else str(error),
        hint=error.hint or "" if isinstance(error, ControlError) else "",
    )
