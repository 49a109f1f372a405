"""`wimtui unmount`: returns when the mount point is free and the daemon is gone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from wimtui.cli import diagnostics, writing
from wimtui.cli.commands.commit import report, settings_of
from wimtui.engine.errors import CancelledError, UsageError
from wimtui.service import mounts
from wimtui.service.commits import CommitSettings, commit_and_unmount
from wimtui.service.mounts import Disposition, MountStatus

if TYPE_CHECKING:
    from argparse import Namespace

    from wimtui.service.mounts import MountSummary


def run(arguments: Namespace) -> int:
    """Unmount; a busy mount is refused with the names of those who hold it."""
    settings = settings_of(arguments)
    if not arguments.commit and settings != CommitSettings():
        raise UsageError("these options say how to commit", hint="add --commit")
    disposition, loss = _disposition(arguments)
    if disposition is Disposition.COMMIT:
        return _commit(arguments, settings)
    ended = mounts.unmount_at(arguments.directory, lazy=arguments.force, disposition=disposition)
    if loss:
        diagnostics.say(loss)
    if arguments.json:
        writing.result({"mount_point": ended.mount_point, "wim_path": ended.wim_path})
    return diagnostics.ExitCode.SUCCESS


def _commit(arguments: Namespace, settings: CommitSettings) -> int:
    """Commit and unmount; Ctrl-C stops the commit, and the mount goes on."""
    mount = mounts.find_mount(arguments.directory)
    with writing.stoppable(as_json=arguments.json) as (show, cancel):
        done = commit_and_unmount(
            arguments.directory, settings, force=arguments.force, progress=show, cancel=cancel
        )
    report(arguments, done, mount_point=mount.mount_point)
    return diagnostics.ExitCode.SUCCESS


def _disposition(arguments: Namespace) -> tuple[Disposition, str]:
    """Return what becomes of the changes, and what to say when they are lost."""
    if arguments.discard:
        return Disposition.DISCARD, ""
    if arguments.keep:
        return Disposition.KEEP, ""
    mount = mounts.find_mount(arguments.directory)
    if mount.mode == "ro":
        if arguments.commit:
            diagnostics.say(f"{arguments.directory}: read-only, so --commit has no effect")
        return Disposition.KEEP, ""
    if arguments.commit:
        return Disposition.COMMIT, ""
    return _confirmed(arguments.directory, mount)


def _confirmed(directory: str, mount: MountSummary) -> tuple[Disposition, str]:
    """Return what to do with changes that nobody spoke of: dropped, as wimlib-imagex does.

    But not without saying how many, and asking where there is somebody to ask. What a dead
    daemon left stays, as nobody knows how much it is.

    Raises:
        CancelledError: The answer was no.
    """
    if mount.status is MountStatus.UNKNOWN:
        diagnostics.say(f"{directory}: what is staged stays; wimtui mounts will show where")
        return Disposition.KEEP, ""
    if mount.status is MountStatus.DEAD:
        diagnostics.say(f"{directory}: what is staged stays in {mount.staging_path}")
        return Disposition.KEEP, ""
    count = mounts.activity_of(directory).changes
    if count == 0:
        return Disposition.DISCARD, ""
    changes = f"{count:,} uncommitted change{'' if count == 1 else 's'}"
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        loss = f"{directory}: {changes} discarded (--commit or --keep would have saved them)"
        return Disposition.DISCARD, loss
    diagnostics.say(f"{directory}: {changes} will be lost; --commit or --keep would save them")
    sys.stderr.write("Discard? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CancelledError("still mounted", path=directory)
    return Disposition.DISCARD, ""
