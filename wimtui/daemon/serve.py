"""The making of a mount: open, lock, stage, register, mount; taken back where a step fails."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from wimtui import paths
from wimtui.control.bulk import BulkFolder
from wimtui.control.protocol import DaemonState
from wimtui.control.registry_entry import RegistryEntry, RegistryFile
from wimtui.control.transport import ReceiveQueue
from wimtui.daemon.life import END_SIGNALS, MountLife
from wimtui.daemon.mount_point import reserved
from wimtui.daemon.mounted_image import MountedImage
from wimtui.engine.errors import UsageError
from wimtui.engine.fuse.operations import WimOperations
from wimtui.engine.fuse.options import FuseOptions, split_words
from wimtui.engine.fuse.read_session import ReadSession
from wimtui.engine.fuse.session import FuseSession
from wimtui.engine.fuse.threads import WorkerThreads
from wimtui.engine.image.view import StreamsInterface

if TYPE_CHECKING:
    from wimtui.control.handshake import Startup
    from wimtui.control.mount_request import MountRequest
    from wimtui.daemon.changes import StagedChanges
    from wimtui.daemon.staging import Staging

# A mount that nobody writes to starts in half the time without what stages and commits: that is
# loaded where it is needed.

FUSE_SUBTYPE: Final = "wimtui"


async def serve_mount(startup: Startup, request: MountRequest, log_path: Path | None) -> None:
    """Open, mount, answer until unmounted, and take everything away again.

    Raises:
        WimError: The WIM, the image, the staging folder or the mount point cannot be used.
        ControlError: The registry or the queues cannot be used.
    """
    nonempty, fuse_options = _fuse_options(request)
    mount_point = Path(request.mount_point)
    own = [paths.runtime_dir(), *([] if log_path is None else [log_path])]
    with ExitStack() as undo:
        place = undo.enter_context(ExitStack())
        place.enter_context(reserved(mount_point, may_hide_files=nonempty, own=own))
        staging = None
        if request.read_write:
            from wimtui.daemon.staging import Staging, take_back_commit, take_lock

            if request.staging_path:
                take_back_commit(request)
            lock = undo.enter_context(take_lock(request))
            image = undo.enter_context(MountedImage.open(request, startup.progress))
            staging = undo.enter_context(Staging.open(request, image, lock))
        else:
            image = undo.enter_context(MountedImage.open(request, startup.progress))
        registry = undo.enter_context(RegistryFile.create(_entry(request, image, staging)))
        undo.push(lambda kind, _error, _trace: _leave(registry, staging, crashed=kind is not None))
        queue = undo.enter_context(ReceiveQueue.create(registry.entry.queue_name))
        bulk = BulkFolder(registry.bulk_folder)
        undo.callback(bulk.close)
        threads = WorkerThreads(max(2, os.cpu_count() or 1))
        undo.callback(threads.close)
        session, changes = _session(request, image, staging, threads, fuse_options)
        # From before there is a mount: a signal that came in between would leave it dead.
        signals = undo.enter_context(trio.open_signal_receiver(*END_SIGNALS, signal.SIGHUP))
        session.open()
        place.close()
        life = MountLife(request, image, changes, session, registry, queue, bulk)
        await life.run(startup, log_path, signals)


def _entry(request: MountRequest, image: MountedImage, staging: Staging | None) -> RegistryEntry:
    return replace(
        RegistryEntry.for_this_process(request.mount_id, request.wim_path, request.mount_point),
        image_index=image.index,
        image_name=image.name,
        mode="rw" if request.read_write else "ro",
        options=request.to_options(),
        staging_path="" if staging is None else staging.folder,
    )


def _session(
    request: MountRequest,
    image: MountedImage,
    staging: Staging | None,
    threads: WorkerThreads,
    fuse_options: FuseOptions,
) -> tuple[FuseSession, StagedChanges | None]:
    """Return who answers the kernel, and for a read-write mount who knows what was changed."""
    mount_point = Path(request.mount_point)
    if staging is None:
        reading = ReadSession(
            WimOperations(image.view, threads),
            mount_point,
            fuse_options,
            opens_are_needed=not image.view.every_file_opens(),
        )
        return reading, None
    from wimtui.daemon.changes import StagedChanges
    from wimtui.daemon.commit import Committer
    from wimtui.engine.fuse.write_operations import WriteOperations

    has_aliases = request.ignore_case or request.streams == StreamsInterface.WINDOWS.value
    operations = WriteOperations(staging.overlay, threads, has_aliases=has_aliases)
    session = FuseSession(operations, mount_point, fuse_options)
    return session, StagedChanges(staging, operations, Committer(staging))


def _leave(registry: RegistryFile, staging: Staging | None, *, crashed: bool) -> None:
    """Take the entry away, unless it tells of a dead mount or of changes that are still there."""
    begun = registry.entry.state is not DaemonState.STARTING
    if begun and (crashed or (staging is not None and staging.is_left)):
        registry.close()
    else:
        registry.remove()


def _fuse_options(request: MountRequest) -> tuple[bool, FuseOptions]:
    words = [word for text in request.fuse_options for word in split_words(text)]
    nonempty = "nonempty" in words
    own = {"nonempty"}
    if request.read_write:
        from wimtui.daemon.staging import OVERLAY_WORDS

        own.update(OVERLAY_WORDS)
    options = FuseOptions.parse(
        [word for word in words if word not in own], read_only=not request.read_write
    )
    if request.read_write and options.read_only:
        raise UsageError("the mount is read-write", structure="-o ro", hint="leave it out")
    if not request.read_write and not options.read_only:
        raise UsageError(
            "the mount is read-only",
            structure="-o rw",
            hint="leave it out, or make a read-write one with wimtui mountrw",
        )
    return nonempty, replace(
        options,
        allow_other=options.allow_other or request.allow_other,
        debug=options.debug or request.debug,
        fsname=options.fsname or request.wim_path,
        subtype=FUSE_SUBTYPE,
    )
