"""`wimtui mount`: returns when the file system answers."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from wimtui.cli import diagnostics, output
from wimtui.cli.progress import ProgressBar
from wimtui.engine.errors import UsageError
from wimtui.engine.progress import Phase, Progress
from wimtui.service import mounts

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Mount; prints what was mounted only with ``--json``."""
    return mount(arguments, read_write=arguments.rw)


def mount(arguments: Namespace, *, read_write: bool) -> int:
    """Mount either way. Raises UsageError."""
    if arguments.staging_dir is not None and not read_write:
        raise UsageError("--staging-dir is for read-write mounts", hint="add --rw")
    request = request_from(arguments, read_write=read_write)
    if read_write:
        _mention_other_changes(request)
    if arguments.foreground or arguments.debug:
        mounts.mount_in_foreground(request)
    bar = ProgressBar(enabled=not arguments.json)
    try:
        made = mounts.mount(request, lambda start: bar(start_progress(start)))
        # It stands: what comes of this command is a success, whenever Ctrl-C is pressed now.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        mounts.take_back(request.mount_id)
        raise
    finally:
        bar.close()
    if arguments.json:
        output.as_json(made.as_json())
    return 0


def request_from(arguments: Namespace, *, read_write: bool = False) -> mounts.MountRequest:
    """Return what the options ask for. Raises UsageError."""
    *image, directory = arguments.where
    if len(image) > 1:
        raise UsageError("too many arguments", hint="wimtui mount WIM [IMAGE] DIR")
    return mounts.new_request(
        arguments.wim,
        directory,
        image=image[0] if image else None,
        read_write=read_write,
        staging_parent=arguments.staging_dir,
        references=arguments.ref,
        check=arguments.check,
        streams=arguments.streams_interface,
        unix_data=arguments.unix_data,
        allow_other=arguments.allow_other,
        ignore_case=arguments.ignore_case,
        uid=arguments.uid,
        gid=arguments.gid,
        umask=arguments.umask,
        cache_nbytes=arguments.cache_size,
        max_chunk_nbytes=arguments.max_chunk,
        max_metadata_nbytes=arguments.max_metadata,
        fuse_options=tuple(arguments.fuse_options),
        log_file=arguments.log_file,
        debug=arguments.debug,
    )


def _mention_other_changes(request: mounts.MountRequest) -> None:
    """Say which changes of the same WIM wait for a remount: committing these would outdate them."""
    for other in mounts.list_mounts(sweep=False):
        if other.wim_path == request.wim_path and other.staging_path and not other.alive:
            diagnostics.say(
                f"{request.wim_path}: uncommitted changes of an earlier mount are in "
                f"{other.staging_path}; wimtui remount brings them back"
            )


def start_progress(start: mounts.StartProgress) -> Progress:
    """Return a moment of a daemon's start as the engine tells it."""
    return Progress(Phase(start.phase), bytes_done=start.done, bytes_total=start.total)
