"""One mount while it is served, up to an end that leaves nothing behind but what is staged."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

import trio

from wimtui.control.errors import ControlError, MountBusyError, NotAMountError
from wimtui.control.mountinfo import MountTable
from wimtui.control.protocol import (
    Cancel,
    Commit,
    DaemonState,
    Disposition,
    EndedEvent,
    ErrorReply,
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
from wimtui.control.unmount import unmount_kernel
from wimtui.daemon.server import RequestServer
from wimtui.engine.errors import UsageError, WimError
from wimtui.engine.staging.changes import ChangeTotals

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
    from wimtui.engine.fuse.session import FuseSession

log = logging.getLogger(__name__)

REGISTRY_INTERVAL_S = 10.0
END_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_NOTHING = ChangeTotals(0, 0)

LAST_WORDS_S = 5.0
"""How long a daemon that ends waits for front ends to take its last messages."""


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
        self._changes = changes
        self._session = session
        self._registry = registry
        self._bulk = bulk
        self._server = RequestServer(queue, bulk, request.mount_id, self._answer)
        self._nursery: trio.Nursery | None = None
        self._unmount_requester: tuple[str, int] | None = None
        self._discards = False

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
            end = await self._session.serve()
            log.info("%s: %s", self._request.mount_point, end.value)
            self._session.close(unmount=True)
            await self._end_staging()
            await self._say_goodbye()
            nursery.cancel_scope.cancel()

    async def _announce(self, startup: Startup, log_path: Path | None) -> None:
        await self._session.ready.wait()
        mount = MountTable.read().at(self._request.mount_point)
        self._registry.update(
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
            except ControlError as error:
                log.warning("%s", error)

    async def _say_goodbye(self) -> None:
        requester, request_id = self._unmount_requester or ("", 0)
        ended = EndedEvent(operation="unmount", outcome=Outcome.DONE)
        self._server.broadcast(ended, requester=requester, request_id=request_id)
        await self._server.drain(LAST_WORDS_S)

    async def _end_staging(self) -> None:
        """Close what is staged. Whoever unmounted without asking us discards nothing."""
        if self._changes is None:
            return
        staging = self._changes.staging
        await trio.to_thread.run_sync(lambda: staging.end(discard=self._discards))
        if staging.is_left:
            self._registry.update(state=DaemonState.DETACHED)
            log.info("%s: what is staged stays in %s", self._request.mount_point, staging.folder)

    async def _answer(self, request: Request, server: RequestServer) -> Reply:
        match request:
            case Status():
                return await self._status()
            case Unmount():
                return await self._begin_unmount(request, server)
            case Commit():
                raise self._no_commit()
            case Cancel():
                return OkReply()
            case Extension(name=name, data=data):
                if self._changes is not None and name in self._changes.REQUESTS:
                    return await self._changes.answer(name, data, self._bulk)
                return ErrorReply(code=106, text=f"unknown request {name!r}", name="version")
        return ErrorReply(code=106, text=f"unknown request {request.TYPE!r}", name="version")

    def _no_commit(self) -> UsageError:
        if self._changes is None:
            return UsageError("the mount is read-only: there is nothing to commit")
        return UsageError("this daemon cannot commit", hint="update wimtui and mount again")

    async def _status(self) -> StatusReply:
        activity = self._session.operations.activity
        totals = _NOTHING if self._changes is None else await self._changes.totals()
        cache = self._image.cache_figures()
        return StatusReply(
            state=self._registry.entry.state,
            mount_id=self._request.mount_id,
            mode="ro" if self._changes is None else "rw",
            image_index=self._image.index,
            image_name=self._image.name,
            wim_path=self._request.wim_path,
            mount_point=self._request.mount_point,
            staging_path=self._registry.entry.staging_path,
            changes=totals.count,
            staged_nbytes=totals.staged_nbytes,
            open_handles=len(self._session.operations.files),
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

    async def _begin_unmount(self, request: Unmount, server: RequestServer) -> Reply:
        if self._unmount_requester is not None:
            return ErrorReply(code=79, text="an unmount is under way already", name="busy")
        if self._changes is not None:
            if request.disposition is Disposition.COMMIT:
                raise self._no_commit()
            if request.disposition is Disposition.IF_CLEAN and await self._changes.is_dirty():
                return ErrorReply(code=79, text="there are uncommitted changes", name="dirty")
            self._discards = request.disposition is Disposition.DISCARD
        assert self._nursery is not None
        self._unmount_requester = server.requester, server.request_id
        self._nursery.start_soon(self._unmount, request.lazy)
        return OkReply()

    async def _unmount(self, lazy: bool) -> None:
        """Have the kernel unmount, so that it is the kernel that says whether files are open."""
        self._set_state(DaemonState.UNMOUNTING)
        where = self._mount_point_now()
        try:
            await trio.to_thread.run_sync(lambda: unmount_kernel(where, lazy=lazy))
            if lazy:
                # The kernel keeps a detached mount, and us, until its last user lets go.
                self._session.terminate()
        except NotAMountError:
            self._session.terminate()
        except (ControlError, WimError, OSError) as error:
            requester, request_id = self._unmount_requester or ("", 0)
            self._unmount_requester = None
            self._discards = False
            self._set_state(DaemonState.OK)
            code = error.code if isinstance(error, ControlError | WimError) else 100
            hint = error.hint or "" if isinstance(error, ControlError) else ""
            text = error.message if isinstance(error, MountBusyError) else str(error)
            ended = EndedEvent(
                operation="unmount", outcome=Outcome.FAILED, code=code, text=text, hint=hint
            )
            self._server.broadcast(ended, requester=requester, request_id=request_id)

    def _mount_point_now(self) -> str:
        """Return where the mount is: a folder above it may have been renamed."""
        place = self._request.mount_point
        moved = [mount.mount_point for mount in MountTable.read().of_device(self._device)]
        return place if place in moved or not moved else moved[0]

    @property
    def _device(self) -> str:
        return self._registry.entry.device

    def _set_state(self, state: DaemonState) -> None:
        self._registry.update(state=state)
        self._server.broadcast(StateEvent(state=state))
