"""What the commands that write have in common: arguments, progress and the last line."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import humanize

from wimtui.cli import diagnostics, output
from wimtui.engine.progress import CancelToken
from wimtui.service.editing import ImageProperties, WriteSettings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from types import FrameType

    from wimtui.service.editing import Written


def properties(arguments: Namespace) -> ImageProperties:
    """Return how the arguments describe an image."""
    others = dict(arguments.properties)
    return ImageProperties(arguments.name, arguments.description, arguments.boot, others)


@contextmanager
def settings(arguments: Namespace) -> Iterator[WriteSettings]:
    """Yield how to write; draws a bar meanwhile, and Ctrl-C stops the write cleanly."""
    cancel = CancelToken()

    def stop(number: int, frame: FrameType | None) -> None:
        cancel.cancel()

    bar = output.ProgressBar()
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield WriteSettings(
            compress=arguments.compress,
            check=arguments.check,
            rebuild=getattr(arguments, "rebuild", False),
            recompress=getattr(arguments, "recompress", False),
            solid=getattr(arguments, "solid", False),
            save_as=getattr(arguments, "save_as", None),
            ignore_readonly=getattr(arguments, "ignore_readonly", False),
            progress=bar,
            cancel=cancel,
        )
    finally:
        signal.signal(signal.SIGINT, before)
        bar.close()


def report(arguments: Namespace, written: Written, what: str) -> int:
    """Print what was done, in one line or as JSON; warnings go to standard error."""
    for warning in written.warnings:
        diagnostics.say(f"{written.path}: warning: {warning}")
    if arguments.json:
        output.as_json(written)
    elif not written.is_written:
        output.line(f"{written.path}: nothing to change, nothing was written")
    else:
        how = ", rebuilt" if written.is_rebuilt and written.old_size else ""
        size = humanize.naturalsize(written.new_size, binary=True)
        output.line(f"{written.path}: {what}{how}; {written.blobs_written} new blobs, {size}")
    return diagnostics.ExitCode.SUCCESS
