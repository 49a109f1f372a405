"""`wimtui capture`: a directory becomes an image, in a new WIM or at the end of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import writing
from wimtui.engine.commit.capture import CaptureOptions
from wimtui.service.editing import capture_directory

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Capture."""
    capturing = CaptureOptions(
        unix_data=arguments.unix_data,
        fix_links=not arguments.norpfix,
        xattrs_as_streams=arguments.xattrs,
    )
    with writing.settings(arguments) as settings:
        written = capture_directory(
            arguments.directory,
            arguments.wim,
            writing.properties(arguments),
            settings,
            capturing,
        )
    return writing.report(arguments, written, f"captured as image {written.image_index}")
