"""`wimtui export`: staged changes as a tar archive or a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import humanize

from wimtui.cli import diagnostics, output, writing
from wimtui.service.export import export_changes

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Write them; Ctrl-C leaves nothing of it."""
    with writing.stoppable(as_json=arguments.json) as (show, cancel):
        result = export_changes(arguments.target, arguments.output, arguments.path, show, cancel)
    for reason in result.skipped:
        diagnostics.say(f"warning: {reason}")
    if result.skipped_count > len(result.skipped):
        diagnostics.say(f"warning: {result.skipped_count - len(result.skipped):,} more")
    if arguments.json:
        writing.result(result.as_json())
    else:
        size = humanize.naturalsize(result.nbytes, binary=True)
        output.line(
            f"{result.path}: {result.file_count:,} files, {result.directory_count:,} folders,"
            f" {size}; {result.deleted_count:,} deletions listed"
        )
    return diagnostics.ExitCode.SUCCESS
