"""Options that several commands share, as the values that services take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.service.archives import ArchiveOptions

if TYPE_CHECKING:
    from argparse import Namespace


def archive_options(arguments: Namespace) -> ArchiveOptions:
    """Return how to open the archive that the arguments name."""
    return ArchiveOptions(
        references=tuple(arguments.ref),
        max_chunk_nbytes=arguments.max_chunk,
        max_metadata_nbytes=arguments.max_metadata,
    )
