"""`wimtui diff`: what is staged against the image."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from wimtui.cli import output
from wimtui.cli.diagnostics import shown
from wimtui.service import changes

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Write the diff; a terminal gets no control characters from names and texts."""
    found = changes.diff_of(arguments.target, arguments.path)
    if not sys.stdout.isatty():
        output.raw(found)
        return 0
    for line in found.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        output.line(shown(line.replace("\t", "    ")))
    return 0
