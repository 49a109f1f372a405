"""The program: parse, run one command, exit with its cause."""

from __future__ import annotations

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING

from wimtui import logs
from wimtui.cli import diagnostics
from wimtui.cli.parser import COMMANDS_BY_ALIAS, build_parser, with_command

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with the codes of docs/EXIT_CODES.md."""
    parser = build_parser()
    parsed = parser.parse_args(with_command(sys.argv[1:] if arguments is None else arguments))
    name = COMMANDS_BY_ALIAS.get(parsed.command, parsed.command)
    # Names that are no Unicode come out as the bytes they are in the image.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    with diagnostics.reported():
        logs.set_up_cli()
        # One module a command, loaded when it is the one: start-up stays at 50 ms.
        sys.exit(import_module(f"wimtui.cli.commands.{name}").run(parsed))
