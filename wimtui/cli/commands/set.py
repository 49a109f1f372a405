"""`wimtui set`: name, description, properties and bootability of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import writing
from wimtui.service.editing import set_image

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Set what the options name."""
    properties = writing.properties(arguments)
    with writing.settings(arguments) as settings:
        written = set_image(arguments.wim, arguments.image, properties, settings)
    return writing.report(arguments, written, f"changed image {written.image_index}")
