"""`wimtui commit`: staged changes go into the WIM; the mount goes on."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import humanize

from wimtui.cli import output
from wimtui.cli.diagnostics import shown
from wimtui.engine.errors import UsageError
from wimtui.engine.progress import CancelToken
from wimtui.service.commits import CommitSettings, commit_at

if TYPE_CHECKING:
    from argparse import Namespace
    from types import FrameType

    from wimtui.service.commits import Committed


def run(arguments: Namespace) -> int:
    """Commit; Ctrl-C stops it cleanly while that is possible."""
    cancel = CancelToken()

    def stop(number: int, frame: FrameType | None) -> None:
        cancel.cancel()

    bar = output.ProgressBar(enabled=not arguments.json)
    before = signal.signal(signal.SIGINT, stop)
    try:
        done = commit_at(arguments.target, settings_of(arguments), progress=bar, cancel=cancel)
    finally:
        signal.signal(signal.SIGINT, before)
        bar.close()
    if arguments.json:
        output.as_json(done.as_json())
    else:
        output.line(_described(done))
    return 0


def settings_of(arguments: Namespace) -> CommitSettings:
    """Return how the arguments want to commit. Raises UsageError."""
    if (arguments.name or arguments.description or arguments.boot) and not arguments.new_image:
        raise UsageError(
            "--name, --description and --boot describe a new image", hint="--new-image"
        )
    return CommitSettings(
        rebuild=arguments.rebuild,
        recompress=arguments.recompress,
        check=arguments.check,
        new_image=arguments.new_image,
        name=arguments.name,
        description=arguments.description,
        boot=arguments.boot,
    )


def _described(done: Committed) -> str:
    if not done.is_written:
        return f"{shown(done.wim_path)}: nothing to commit"
    how = "rebuilt" if done.is_rebuilt else "appended to"
    size = humanize.naturalsize(done.new_size, binary=True)
    return (
        f"{shown(done.wim_path)}: {how}, image {done.image_index}, "
        f"{done.blobs_written:,} new blobs, {size}"
    )
