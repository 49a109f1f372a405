"""The program: parse, run one command, exit with its cause."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# What is loaded before main() runs is loaded where a Ctrl-C is still told with a traceback.


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with the codes of docs/EXIT_CODES.md."""
    try:
        _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("wimtui: interrupted", file=sys.stderr)
        # ExitCode.INTERRUPTED, which may not be loaded yet.
        sys.exit(130)


def _run(arguments: Sequence[str]) -> None:
    from importlib import import_module
    from io import TextIOWrapper

    from wimtui import logs
    from wimtui.cli import diagnostics
    from wimtui.cli.parser import COMMANDS_BY_ALIAS, build_parser, with_command

    parsed = build_parser().parse_args(with_command(arguments))
    name = COMMANDS_BY_ALIAS.get(parsed.command, parsed.command)
    # Names that are no Unicode come out as the bytes they are in the image.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    with diagnostics.reported():
        logs.set_up_cli()
        # One module a command, loaded when it is the one: start-up stays at 50 ms.
        sys.exit(import_module(f"wimtui.cli.commands.{name}").run(parsed))
