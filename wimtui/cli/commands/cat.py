"""`wimtui cat`: one file, or one stream, of an image that need not be mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import output
from wimtui.cli.options import archive_options
from wimtui.service import images

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Write the bytes to standard output."""
    with images.open_image(arguments.wim, arguments.image, archive_options(arguments)) as image:
        for piece in image.read(arguments.path):
            output.raw(piece)
    return 0
