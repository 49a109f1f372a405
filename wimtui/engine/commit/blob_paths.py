"""Which file of a WIM to be written has a blob, for those who watch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wimtui.engine.errors import WimError
from wimtui.engine.image.metadata import ImageMetadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.plan import Plan


class BlobPaths:
    """One path for each blob of the images of a plan; worked out when it is first asked for."""

    def __init__(self, archive: Archive, plan: Plan) -> None:
        self._archive = archive
        self._plan = plan
        self._places: dict[bytes, tuple[ImageMetadata, int]] | None = None
        """Image and dentry by SHA-1."""

    def find(self, sha1: bytes) -> str:
        """Return the path of a file that has a blob, or nothing."""
        if self._places is None:
            self._places = dict(self._find_all())
        place = self._places.get(sha1)
        return "" if place is None else os.fsdecode(place[0].path(place[1]))

    def _find_all(self) -> Iterator[tuple[bytes, tuple[ImageMetadata, int]]]:
        for metadata in planned_images(self._archive, self._plan):
            columns = metadata.columns
            for ino in range(1, columns.inode_count + 1):
                place = (metadata, columns.first_dentry(ino))
                for sha1 in columns.stream_hashes(ino):
                    yield sha1, place


def planned_images(archive: Archive | None, plan: Plan) -> Iterator[ImageMetadata]:
    """Yield the images that a plan writes or keeps, but for those that cannot be read."""
    for image in plan.images:
        if not image.kept_index:
            yield ImageMetadata.parse(image.metadata)
            continue
        assert archive is not None
        try:
            yield archive.image(image.kept_index)
        except WimError:
            # Kept as it is, with a warning in the plan.
            continue
