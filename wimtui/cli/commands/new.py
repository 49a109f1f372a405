"""`wimtui new`: a WIM with one empty image, ready to be mounted read-write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import writing
from wimtui.service.editing import new_wim

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Make the file, which must not exist."""
    with writing.settings(arguments) as settings:
        written = new_wim(arguments.wim, writing.properties(arguments), settings)
    return writing.report(arguments, written, "made with one empty image")
