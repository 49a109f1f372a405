"""What a daemon serves: an open archive and one of its images."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.image.view import ImageView, StreamsInterface, ViewOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from wimtui.control.mount_request import MountRequest
    from wimtui.engine.progress import Progress


class MountedImage:
    """An archive, and the view of the image that is mounted."""

    def __init__(
        self, archive: Archive, index: int, view: ImageView, options: ArchiveOptions
    ) -> None:
        self.archive = archive
        self.index = index
        self.view = view
        self._options = options
        self._former: list[Archive] = []

    @classmethod
    def open(cls, request: MountRequest, report: Callable[[str, int, int], None]) -> Self:
        """Open what a request names.

        Args:
            request: Which image, and how it is shown.
            report: Told what the daemon is busy with: phase, bytes done, bytes in all.

        Raises:
            WimError: The WIM or the image cannot be used.
        """

        def on_progress(progress: Progress) -> None:
            report(progress.phase.value, progress.bytes_done, progress.bytes_total)

        options = ArchiveOptions(
            references=request.references,
            cache_nbytes=request.cache_nbytes,
            max_chunk_nbytes=request.max_chunk_nbytes,
            max_metadata_nbytes=request.max_metadata_nbytes or None,
        )
        archive = Archive.open(
            request.wim_path,
            replace(options, check_integrity=request.check, progress=on_progress),
        )
        try:
            index = archive.find_image(request.image)
            view = ImageView(archive.image(index), archive.blobs, view_options(request))
        except BaseException:
            archive.close()
            raise
        return cls(archive, index, view, options)

    @property
    def name(self) -> str:
        """The image's name in the XML data, perhaps empty."""
        return self.archive.wim.xml.images[self.index - 1].name

    def cache_figures(self) -> dict[str, int]:
        """Return what the chunk cache holds and how often it helped."""
        cache = self.archive.loader.cache.status()
        return {
            "cache_hits": cache.hits,
            "cache_misses": cache.misses,
            "cache_nbytes": cache.nbytes,
            "cache_capacity": cache.capacity,
        }

    def reopened(self) -> Archive:
        """Open the WIM as it is now, as after a commit. Raises WimError."""
        return Archive.open(self.archive.wim.path, self._options)

    def move_to(self, archive: Archive, index: int) -> None:
        """Serve another state of the WIM from now on; files opened before read from the old."""
        self._former.append(self.archive)
        self.archive = archive
        self.index = index

    def close_former(self) -> None:
        """Close the states of the WIM that nothing reads from any more."""
        for archive in self._former:
            archive.close()
        self._former.clear()

    def close(self) -> None:
        """Close the archive."""
        self.close_former()
        self.archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def view_options(request: MountRequest) -> ViewOptions:
    """Return how a request wants its image shown."""
    return ViewOptions(
        uid=request.uid,
        gid=request.gid,
        umask=request.umask,
        unix_data=request.unix_data,
        streams=StreamsInterface(request.streams),
        mount_root=os.fsencode(request.mount_point),
        ignore_case=request.ignore_case,
    )
