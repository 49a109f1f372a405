"""`wimtui restore`: undo what is staged of some paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import output
from wimtui.service import changes

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Restore; what is open for writing is refused."""
    count = changes.restore_at(arguments.target, arguments.paths)
    if arguments.json:
        output.as_json({"paths": arguments.paths, "restored": count})
    return 0
