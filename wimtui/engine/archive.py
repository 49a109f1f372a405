"""An archive: a WIM file, the parts and references it needs, and its images."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.chunk_cache import ChunkCache
from wimtui.engine.container.chunk_loader import ChunkLoader
from wimtui.engine.container.limits import Limits
from wimtui.engine.container.parts import open_references
from wimtui.engine.container.wim_file import OpenOptions, WimFile
from wimtui.engine.errors import NoMetadataError, NoSuchImageError
from wimtui.engine.image.metadata import ImageMetadata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from types import TracebackType

    from wimtui.engine.progress import CancelToken, ProgressSink

DEFAULT_CACHE_NBYTES = 256 << 20
"""Decoded chunks kept in memory, for the whole process."""

_SHOWN_NAME = 200
"""Characters of an image name that a message repeats."""


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """How to open an archive."""

    references: Sequence[str] = ()
    """Globs of further parts, or of the WIMs that a delta WIM refers to."""
    check_integrity: bool = False
    cache_nbytes: int = DEFAULT_CACHE_NBYTES
    max_chunk_nbytes: int = Limits().chunk_size
    max_metadata_nbytes: int | None = None
    """None goes by the size of the file."""
    progress: ProgressSink | None = None
    cancel: CancelToken | None = field(default=None)


class Archive:
    """An open WIM. Closing it closes every file and ends every decoder thread.

    Attributes:
        wim: The main file.
        blobs: Every blob that the files hold.
    """

    def __init__(self, wim: WimFile, blobs: BlobStore, loader: ChunkLoader) -> None:
        self.wim = wim
        self.blobs = blobs
        self.loader = loader

    @classmethod
    def open(cls, path: str | PathLike[str], options: ArchiveOptions | None = None) -> Self:
        """Open a WIM and what it refers to.

        Raises:
            WimError: A file cannot be opened, or is no valid WIM; see WimFile.open.
        """
        options = options or ArchiveOptions()
        limits = Limits(
            chunk_size=options.max_chunk_nbytes, metadata_size=options.max_metadata_nbytes
        )
        opening = OpenOptions(
            check_integrity=options.check_integrity,
            limits=limits,
            progress=options.progress,
            cancel=options.cancel,
        )
        wim = WimFile.open(path, opening)
        try:
            others = open_references(
                wim, options.references, replace(opening, check_integrity=False)
            )
        except BaseException:
            wim.close()
            raise
        loader = ChunkLoader(ChunkCache(options.cache_nbytes))
        return cls(wim, BlobStore(wim, others, loader=loader), loader)

    def find_image(self, image: str | None) -> int:
        """Return the 1-based index of an image given by index or name.

        A string of one to nine digits is an index and never a name; None or an empty string stands
        for the only image.

        Raises:
            NoSuchImageError: There is no such image, or several and none was named.
            NoMetadataError: The file is a later part of a split set.
        """
        count = self.wim.image_count
        if self.wim.header.part_number != 1:
            raise NoMetadataError(
                f"part {self.wim.header.part_number} of {self.wim.header.total_parts} holds no "
                "image metadata",
                path=self.wim.path,
                hint="open the first part and name the others with --ref",
            )
        if not image:
            if count == 1:
                return 1
            raise NoSuchImageError(
                f"{count} images, and none was chosen",
                path=self.wim.path,
                hint=f"give its index or name; wimtui info {self.wim.path} lists them",
            )
        if re.fullmatch("[0-9]{1,9}", image):
            if 1 <= int(image) <= count:
                return int(image)
        else:
            named = self.wim.xml.find_name(image)
            if named is not None:
                return named.index
        raise NoSuchImageError(
            f"no image {image[:_SHOWN_NAME]!r} among {count}",
            path=self.wim.path,
            hint=f"wimtui info {self.wim.path} lists them",
        )

    def image(self, index: int) -> ImageMetadata:
        """Read, verify and scan the metadata resource of an image.

        Raises:
            WimError: It is missing, corrupt or too large.
        """
        return ImageMetadata.parse(self.blobs.metadata_resource(index))

    def close(self) -> None:
        """Close every file; harmless when done twice.

        Threads that decode end first: what they read by number could be another file by then.
        """
        self.loader.close()
        self.blobs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
