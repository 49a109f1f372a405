"""One mount: from an open WIM to a served file system to an end that leaves nothing behind."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from wimtui import paths
from wimtui.control.bulk import BulkFolder
from wimtui.control.errors import ControlError, MountBusyError, NotAMountError
from wimtui.control.mountinfo import MountTable
from wimtui.control.protocol import (
    Cancel,
    Commit,
    DaemonState,
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
from wimtui.control.registry_entry import RegistryEntry, RegistryFile
from wimtui.control.transport import ReceiveQueue
from wimtui.control.unmount import unmount_kernel
from wimtui.daemon.mount_point import check_mount_point
from wimtui.daemon.mounted_image import MountedImage
from wimtui.daemon.server import RequestServer
from wimtui.engine.errors import UsageError, WimError
from wimtui.engine.fuse.operations import WimOperations
from wimtui.engine.fuse.options import FuseOptions
from wimtui.engine.fuse.session import FuseSession
from wimtui.engine.fuse.threads import WorkerThreads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wimtui.control.handshake import Startup
    from wimtui.control.mount_request import MountRequest

log = logging.getLogger(__name__)

FUSE_SUBTYPE = "wimtui"
REGISTRY_INTERVAL_S = 10.0
_END_SIGNALS = (signal.SIGTERM, signal.SIGINT)

LAST_WORDS_S = 5.0
"""How long a daemon that ends waits for front ends to take its last messages."""


async def serve_mount(startup: Startup, request: MountRequest, log_path: Path | None) -> None:
    """Open, mount, answer until unmounted, and take everything away again.

    Raises:
        WimError: The WIM, the image or the mount point cannot be used.
        ControlError: The registry or the queues cannot be used.
    """
    nonempty, fuse_options = _fuse_options(request)
    mount_point = Path(request.mount_point)
    own = [paths.runtime_dir(), *([] if log_path is None else [log_path])]
    check_mount_point(mount_point, may_hide_files=nonempty, own=own)
    with ExitStack() as undo:
        image = undo.enter_context(MountedImage.open(request, startup.progress))
        entry = replace(
            RegistryEntry.for_this_process(request.mount_id, request.wim_path, str(mount_point)),
            image_index=image.index,
            image_name=image.name,
            options=request.to_options(),
        )
        registry = undo.enter_context(RegistryFile.create(entry))
        undo.callback(registry.remove)
        queue = undo.enter_context(ReceiveQueue.create(entry.queue_name))
        bulk = BulkFolder(registry.bulk_folder)
        undo.callback(bulk.close)
        threads = WorkerThreads(max(2, os.cpu_count() or 1))
        undo.callback(threads.close)
        operations = WimOperations(image.view, threads)
        session = FuseSession(operations, mount_point, fuse_options)
        # From before there is a mount: a signal that came in between would leave it dead.
        signals = undo.enter_context(trio.open_signal_receiver(*_END_SIGNALS, signal.SIGHUP))
        session.open()
        life = MountLife(request, image, session, registry, queue, bulk)
        await life.run(startup, log_path, signals)


def _fuse_options(request: MountRequest) -> tuple[bool, FuseOptions]:
    words = [word for text in request.fuse_options for word in text.split(",")]
    nonempty = "nonempty" in words
    options = FuseOptions.parse([word for word in words if word != "nonempty"])
    if not options.read_only:
        raise UsageError("the mount is read-only", structure="-o rw", hint="leave it out")
    return nonempty, replace(
        options,
        allow_other=options.allow_other or request.allow_other,
        debug=options.debug or request.debug,
        fsname=options.fsname or request.wim_path,
        subtype=FUSE_SUBTYPE,
    )


class MountLife:
    """A mount while it is served: who may end it, and what it says of itself."""

    def __init__(
        self,
        request: MountRequest,
        image: MountedImage,
        session: FuseSession,
        registry: RegistryFile,
        queue: ReceiveQueue,
        bulk: BulkFolder,
    ) -> None:
        self._request = request
        self._image = image
        self._session = session
        self._registry = registry
        self._server = RequestServer(queue, bulk, request.mount_id, self._answer)
        self._nursery: trio.Nursery | None = None
        self._unmount_requester: tuple[str, int] | None = None

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
            if number in _END_SIGNALS:
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
        self._registry.remove()

    async def _answer(self, request: Request, server: RequestServer) -> Reply:
        match request:
            case Status():
                return self._status()
            case Unmount():
                return self._begin_unmount(request, server)
            case Commit():
                raise UsageError("the mount is read-only: there is nothing to commit")
            case Cancel():
                return OkReply()
            case Extension(name=name):
                return ErrorReply(code=106, text=f"unknown request {name!r}", name="version")
        return ErrorReply(code=106, text=f"unknown request {request.TYPE!r}", name="version")

    def _status(self) -> StatusReply:
        activity = self._session.operations.activity
        cache = self._image.cache_figures()
        return StatusReply(
            state=self._registry.entry.state,
            mount_id=self._request.mount_id,
            image_index=self._image.index,
            image_name=self._image.name,
            wim_path=self._request.wim_path,
            mount_point=self._request.mount_point,
            open_handles=len(self._session.operations.files),
            data={
                "pid": os.getpid(),
                "started_at_ns": activity.started_at_ns,
                "reads": activity.reads,
                "bytes_read": activity.bytes_read,
                "requests": sum(activity.requests.values()),
                **cache,
            },
        )

    def _begin_unmount(self, request: Unmount, server: RequestServer) -> Reply:
        if self._unmount_requester is not None:
            return ErrorReply(code=79, text="an unmount is under way already", name="busy")
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
