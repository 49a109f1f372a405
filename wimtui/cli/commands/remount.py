"""`wimtui remount`: a mount whose daemon was killed is back, with every change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import output
from wimtui.cli.commands.mount import start_progress
from wimtui.cli.progress import ProgressBar
from wimtui.service import mounts

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Mount again; prints what was mounted only with ``--json``."""
    bar = ProgressBar(enabled=not arguments.json)
    try:
        made = mounts.remount(
            arguments.target, arguments.directory, lambda start: bar(start_progress(start))
        )
    finally:
        bar.close()
    if arguments.json:
        output.as_json(made.as_json())
    return 0
