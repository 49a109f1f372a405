"""What the commands that write have in common: arguments, progress and the last line."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import humanize

from wimtui.cli import diagnostics, output
from wimtui.cli.progress import meter
from wimtui.control.errors import ControlError
from wimtui.engine.errors import WimError
from wimtui.engine.progress import CancelToken

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from types import FrameType

    from wimtui.engine.progress import ProgressSink
    from wimtui.service.editing import ImageProperties, WriteSettings, Written


def properties(arguments: Namespace) -> ImageProperties:
    """Return how the arguments describe an image."""
    # A commit that a daemon does needs nothing of the engine, which takes 0.1 s to load.
    from wimtui.service.editing import ImageProperties

    others = dict(arguments.properties)
    return ImageProperties(arguments.name, arguments.description, arguments.boot, others)


@contextmanager
def stoppable(*, as_json: bool) -> Iterator[tuple[ProgressSink, CancelToken]]:
    """Yield what shows progress, and what the first Ctrl-C stops the work with.

    A second Ctrl-C ends the command at once, whatever a daemon does then.
    """
    cancel = CancelToken()
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        cancel.cancel()

    show = meter(as_json=as_json)
    is_done = False
    signal.signal(signal.SIGINT, stop)
    try:
        yield show, cancel
        is_done = True
    except (WimError, ControlError) as error:
        show.close(is_done=False)
        if as_json:
            text = diagnostics.describe(error)
            output.json_line({"type": "error", "code": diagnostics.exit_code(error), "text": text})
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        show.close(is_done=is_done)


@contextmanager
def settings(arguments: Namespace) -> Iterator[WriteSettings]:
    """Yield how to write; shows progress meanwhile, and Ctrl-C stops the write cleanly."""
    from wimtui.service.editing import WriteSettings

    with stoppable(as_json=arguments.json) as (show, cancel):
        yield WriteSettings(
            compress=arguments.compress,
            check=arguments.check,
            rebuild=getattr(arguments, "rebuild", False),
            recompress=getattr(arguments, "recompress", False),
            solid=getattr(arguments, "solid", False),
            save_as=getattr(arguments, "save_as", None),
            ignore_readonly=getattr(arguments, "ignore_readonly", False),
            check_space=arguments.space_check,
            progress=show,
            cancel=cancel,
        )


def report(arguments: Namespace, written: Written, what: str) -> int:
    """Print what was done, in one line or as JSON; warnings go to standard error."""
    for warning in written.warnings:
        diagnostics.say(f"{written.path}: warning: {warning}")
    if arguments.json:
        result(output.fields(written))
    elif not written.is_written:
        output.line(f"{written.path}: nothing to change, nothing was written")
    else:
        how = ", rebuilt" if written.is_rebuilt and written.old_size else ""
        size = humanize.naturalsize(written.new_size, binary=True)
        output.line(f"{written.path}: {what}{how}; {blobs(written.blobs_written)}, {size}")
    return diagnostics.ExitCode.SUCCESS


def blobs(count: int) -> str:
    """Return how many blobs were written, in words."""
    return f"{count:,} new blob{'' if count == 1 else 's'}"


def result(fields: dict[str, object]) -> None:
    """Print the last of a command's JSON lines."""
    output.json_line({"type": "result", **fields})
