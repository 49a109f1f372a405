"""`wimtui delete`: an image goes, and its space with it unless --soft."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import writing
from wimtui.service.editing import delete_image

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Delete."""
    with writing.settings(arguments) as settings:
        written = delete_image(arguments.wim, arguments.image, settings, soft=arguments.soft)
    return writing.report(arguments, written, f"deleted image {arguments.image}")
