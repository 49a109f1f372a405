"""`wimtui commit`: staged changes go into the WIM; the mount goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import humanize

from wimtui.cli import diagnostics, output, writing
from wimtui.cli.diagnostics import shown
from wimtui.engine.errors import UsageError
from wimtui.service.commits import (
    CommitSettings,
    ReadOnlyMountError,
    commit_at,
    nothing_written,
)
from wimtui.service.mounts import find_mount

if TYPE_CHECKING:
    from argparse import Namespace

    from wimtui.service.commits import Committed


def run(arguments: Namespace) -> int:
    """Commit; Ctrl-C stops it cleanly while that is possible."""
    settings = settings_of(arguments)
    with writing.stoppable(as_json=arguments.json) as (show, cancel):
        try:
            done = commit_at(arguments.target, settings, progress=show, cancel=cancel)
        except ReadOnlyMountError:
            done = None
    if done is None:
        diagnostics.say(f"{arguments.target}: read-only, so a commit has no effect")
        if arguments.json:
            report(arguments, nothing_written(find_mount(arguments.target).wim_path))
        return diagnostics.ExitCode.SUCCESS
    report(arguments, done)
    if done.saved_as and not arguments.json:
        output.line(f"{shown(done.wim_path)}: as it was; the changes are still staged")
    return diagnostics.ExitCode.SUCCESS


def settings_of(arguments: Namespace) -> CommitSettings:
    """Return how the arguments want to commit. Raises UsageError."""
    if (arguments.name or arguments.description or arguments.boot) and not arguments.new_image:
        raise UsageError(
            "--name, --description and --boot describe a new image", hint="add --new-image"
        )
    if arguments.save_as == "":
        raise UsageError("--save-as needs a path")
    return CommitSettings(
        rebuild=arguments.rebuild,
        recompress=arguments.recompress,
        check=arguments.check,
        new_image=arguments.new_image,
        name=arguments.name,
        description=arguments.description,
        boot=arguments.boot,
        compress=arguments.compress,
        solid=arguments.solid,
        save_as=arguments.save_as,
        force_write=arguments.force_write,
        check_space=arguments.space_check,
    )


def report(arguments: Namespace, done: Committed, **more: object) -> None:
    """Print what was done, in one line or as JSON; warnings go to standard error."""
    for warning in done.warnings:
        diagnostics.say(f"{done.wim_path}: warning: {warning}")
    if arguments.json:
        writing.result({**more, **done.as_json()})
    else:
        output.line(_described(done))


def _described(done: Committed) -> str:
    if not done.is_written:
        return f"{shown(done.wim_path)}: nothing has changed, nothing was written"
    how = "rebuilt" if done.is_rebuilt else "appended to"
    if done.saved_as:
        how = "written"
    image = f", image {done.image_index}" if done.image_index else ""
    size = humanize.naturalsize(done.new_size, binary=True)
    path = shown(done.saved_as or done.wim_path)
    return f"{path}: {how}{image}, {writing.blobs(done.blobs_written)}, {size}"
