"""What front ends ask of one image that need not be mounted: names, details, contents."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.errors import IsADirectoryNodeError, NodeNotFoundError
from wimtui.engine.image.details import FileDetails, file_details
from wimtui.engine.image.metadata import ROOT_DENTRY
from wimtui.engine.image.streams import Stream, StreamKind
from wimtui.engine.image.view import ImageView, StreamsInterface, ViewOptions
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.image.metadata import ImageMetadata
    from wimtui.engine.tree import Ino

__all__ = ["FileDetails", "ImageBrowser", "ImageEntry", "Stream", "StreamKind", "open_image"]

READ_NBYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One name, as a listing shows it."""

    name: str
    dentry: int
    is_directory: bool
    is_link: bool
    size: int
    stored_size: int
    write_time: int
    """FILETIME ticks."""
    attributes: int
    link_count: int
    stream_count: int
    """Named streams."""


class ImageBrowser:
    """An image to look into."""

    def __init__(self, archive: Archive, index: int) -> None:
        self.archive = archive
        self.index = index
        self.metadata: ImageMetadata = archive.image(index)
        options = ViewOptions(streams=StreamsInterface.WINDOWS)
        self._view = ImageView(self.metadata, archive.blobs, options)

    def find(self, path: str) -> int:
        """Return the dentry at a path. Raises NodeNotFoundError."""
        dentry = self.metadata.find(os.fsencode(path), ignore_case=False)
        if dentry is None:
            dentry = self.metadata.find(os.fsencode(path), ignore_case=True)
        if dentry is None:
            raise self._no_such_path(path)
        return dentry

    def walk(self, path: str = "/") -> Iterator[tuple[int, str]]:
        """Yield dentry and path of a file and all below it, parents first."""
        for dentry, found in self.metadata.walk(self.find(path)):
            yield dentry, os.fsdecode(found)

    def details(self, dentry: int) -> FileDetails:
        """Return everything the image says of a file."""
        return file_details(self.metadata, dentry)

    def entries(self, dentry: int = ROOT_DENTRY) -> list[ImageEntry]:
        """Return the names in a directory, in collation order; [] for what is no directory."""
        columns = self.metadata.columns
        if not columns.is_directory(dentry):
            return []
        listed = columns.list_children(dentry) or []
        return [self._entry(dentry, name) for name, _ in listed]

    def _entry(self, directory: int, name: bytes) -> ImageEntry:
        columns = self.metadata.columns
        dentry = columns.lookup(directory, name, False)
        ino = columns.ino(dentry)
        shown = self._view.attributes(ino)  # type: ignore[arg-type]
        return ImageEntry(
            name=os.fsdecode(name),
            dentry=dentry,
            is_directory=columns.is_directory(dentry),
            is_link=bool(columns.reparse_fields(dentry)[0]),
            size=shown.size,
            stored_size=shown.blocks * 512,
            write_time=columns.times(dentry)[2],
            attributes=columns.attributes(dentry),
            link_count=shown.nlink,
            stream_count=sum(
                1 for stream in self.details(dentry).streams if stream.kind is StreamKind.NAMED
            ),
        )

    def read(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file, or of ``file:stream``, in pieces.

        Raises:
            NodeNotFoundError: No such path or stream.
            IsADirectoryNodeError: It is a directory.
            WimError: The data is corrupt, encrypted or missing.
        """
        file = self._view.open_file(self._find_node(path))
        try:
            offset = 0
            while piece := file.read(offset, READ_NBYTES):
                offset += len(piece)
                yield piece
        finally:
            file.close()

    def _find_node(self, path: str) -> Ino:
        node: Ino | None = ROOT_INO
        components = [part for part in os.fsencode(path.replace("\\", "/")).split(b"/") if part]
        for component in components:
            if node is not None:
                node = self._view.lookup(node, component)
        if node is None:
            raise self._no_such_path(path)
        if node == ROOT_INO:
            raise IsADirectoryNodeError("is a directory", path=self.archive.wim.path, structure="/")
        return node

    def _no_such_path(self, path: str) -> NodeNotFoundError:
        return NodeNotFoundError(
            f"no such path in image {self.index}",
            path=self.archive.wim.path,
            structure=path,
            hint=f"wimtui dir {self.archive.wim.path} {self.index} lists what there is",
        )


@contextmanager
def open_image(
    path: str, image: str | None = None, options: ArchiveOptions | None = None
) -> Iterator[ImageBrowser]:
    """Open one image of a WIM and close everything at the end. Raises WimError."""
    with Archive.open(path, options) as archive:
        yield ImageBrowser(archive, archive.find_image(image))
