"""`wimtui mount`: returns when the file system answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import output
from wimtui.engine.errors import UsageError
from wimtui.engine.progress import Phase, Progress
from wimtui.service import mounts

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Mount; prints what was mounted only with ``--json``."""
    request = request_from(arguments)
    if arguments.foreground or arguments.debug:
        mounts.mount_in_foreground(request)
    bar = output.ProgressBar(enabled=not arguments.json)
    try:
        made = mounts.mount(request, lambda start: bar(_progress(start)))
    finally:
        bar.close()
    if arguments.json:
        output.as_json(made.as_json())
    return 0


def request_from(arguments: Namespace) -> mounts.MountRequest:
    """Return what the options ask for. Raises UsageError."""
    *image, directory = arguments.where
    if len(image) > 1:
        raise UsageError("too many arguments", hint="wimtui mount WIM [IMAGE] DIR")
    return mounts.new_request(
        arguments.wim,
        directory,
        image=image[0] if image else None,
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


def _progress(start: mounts.StartProgress) -> Progress:
    return Progress(Phase(start.phase), bytes_done=start.done, bytes_total=start.total)
