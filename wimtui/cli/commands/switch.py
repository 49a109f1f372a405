"""`wimtui switch`: the same place, another image or mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import output
from wimtui.cli.commands.mount import start_progress
from wimtui.cli.progress import ProgressBar
from wimtui.engine.errors import UsageError
from wimtui.service import switching

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Switch; prints what is mounted only with ``--json``. Raises UsageError."""
    if arguments.read_write is None and arguments.image is None:
        raise UsageError("nothing to switch to", hint="name --rw, --ro or --image")
    bar = ProgressBar(enabled=not arguments.json)
    try:
        made = switching.switch(
            arguments.target,
            read_write=arguments.read_write,
            image=arguments.image,
            on_progress=lambda start: bar(start_progress(start)),
        )
    finally:
        bar.close()
    if arguments.json:
        output.as_json(made.as_json())
    return 0
