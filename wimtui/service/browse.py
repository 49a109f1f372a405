"""An image to look into for long: quick listings, names found, previews, everything known."""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_right
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import TYPE_CHECKING, Self

from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.errors import WimError
from wimtui.engine.image.blobs import is_empty
from wimtui.engine.image.details import file_details
from wimtui.engine.image.metadata import ROOT_DENTRY
from wimtui.engine.image.named_streams import named_streams
from wimtui.engine.image.view import ImageView, StreamsInterface, ViewOptions
from wimtui.engine.progress import CancelToken
from wimtui.engine.tree import Ino
from wimtui.service.images import FileDetails, ImageEntry, StreamKind
from wimtui.service.previews import PREVIEW_NBYTES, Preview, PreviewKind, preview_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from wimtui.engine.image.metadata import ImageMetadata

__all__ = [
    "CancelToken", "EntryFacts", "FileDetails", "FoundEntry", "ImageEntry", "ImageSession",
    "NameIndex", "Preview", "PreviewKind", "SearchResult", "StreamFacts", "StreamKind",
]  # fmt: skip

MAX_FOUND = 2000
_SEPARATOR = "\0"


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One stream of a file."""

    kind: StreamKind
    name: str
    size: int
    stored_size: int
    sha1: str
    is_missing: bool


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """Everything known of one name."""

    dentry: int
    path: str
    details: FileDetails
    streams: tuple[StreamFacts, ...]
    link_target: str | None


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """A name that a search found."""

    path: str
    entry: ImageEntry


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found."""

    text: str
    found: tuple[FoundEntry, ...]
    is_cut: bool
    """Whether there is more than MAX_FOUND."""


class NameIndex:
    """All names of an image in one string, to be searched without a loop over them."""

    __slots__ = ("_names", "_starts")

    def __init__(self, metadata: ImageMetadata) -> None:
        columns = metadata.columns
        names = [os.fsdecode(columns.name(n)).casefold() for n in range(columns.dentry_count)]
        self._names = _SEPARATOR.join(names) + _SEPARATOR
        self._starts = array("Q", bytes(8 * len(names)))
        start = 0
        for dentry, name in enumerate(names):
            self._starts[dentry] = start
            start += len(name) + 1

    def find(self, pattern: re.Pattern[str]) -> Iterator[int]:
        """Yield the dentries whose casefolded names hold a match, in the order of their numbers."""
        position = 0
        while match := pattern.search(self._names, position):
            dentry = bisect_right(self._starts, match.start()) - 1
            yield dentry
            position = self._names.index(_SEPARATOR, match.start()) + 1


def name_pattern(text: str) -> re.Pattern[str]:
    """Return what to look for: part of a name, or with ``*``, ``?`` or ``[`` a whole name."""
    folded = text.casefold()
    if not any(sign in folded for sign in "*?["):
        return re.compile(re.escape(folded))
    glob = translate(folded).removeprefix("(?s:").removesuffix(r")\Z")
    inner = glob.replace(".*", f"[^{_SEPARATOR}]*").replace("(?>", "(?:")
    return re.compile(f"(?:(?<={_SEPARATOR})|^)(?:{inner})(?={_SEPARATOR})", re.DOTALL)


class ImageSession:
    """One open image. Any thread may call anything; close() waits for nobody."""

    def __init__(self, archive: Archive, index: int) -> None:
        self.archive = archive
        self.index = index
        self.metadata: ImageMetadata = archive.image(index)
        self.view = ImageView(
            self.metadata, archive.blobs, ViewOptions(streams=StreamsInterface.WINDOWS)
        )
        self._index: NameIndex | None = None

    @classmethod
    def open(cls, path: str, image: str | None, references: tuple[str, ...] = ()) -> Self:
        """Open a WIM and scan one image of it. Raises WimError."""
        archive = Archive.open(path, ArchiveOptions(references=references, cache_nbytes=64 << 20))
        try:
            return cls(archive, archive.find_image(image))
        except BaseException:
            archive.close()
            raise

    @property
    def path(self) -> str:
        """The WIM."""
        return self.archive.wim.path

    @property
    def entry_count(self) -> int:
        """Names in the image, the root included."""
        return self.metadata.columns.dentry_count

    def root(self) -> ImageEntry:
        """Return the root's entry."""
        return replace(self.entry(ROOT_DENTRY), name="/")

    def entry(self, dentry: int) -> ImageEntry:
        """Return one name as listings show it."""
        columns = self.metadata.columns
        ino = columns.ino(dentry)
        first = columns.first_dentry(ino)
        is_directory = columns.is_directory(first)
        size = stored = 0
        if not is_directory:
            size, stored = self._sizes(columns.content_sha1(first))
        return ImageEntry(
            name=os.fsdecode(columns.name(dentry)),
            dentry=dentry,
            is_directory=is_directory,
            is_link=bool(columns.reparse_fields(first)[0]),
            size=size,
            stored_size=stored,
            write_time=columns.times(first)[2],
            attributes=columns.attributes(first),
            link_count=columns.link_count(ino),
            stream_count=len(named_streams(columns, first))
            if columns.stream_range(first)[1]
            else 0,
        )

    def _stream_count(self, first: int) -> int:
        columns = self.metadata.columns
        return len(named_streams(columns, first)) if columns.stream_range(first)[1] else 0

    def _sizes(self, sha1: bytes) -> tuple[int, int]:
        blobs = self.archive.blobs
        if is_empty(sha1, blobs):
            return 0, 0
        size = blobs.size(sha1)
        return (0, 0) if size is None else (size, blobs.stored_size(sha1))

    def children(self, dentry: int = ROOT_DENTRY) -> list[ImageEntry]:
        """Return the names in a directory: directories first, each by name."""
        first, count = self.metadata.columns.children(dentry)
        entries = [self.entry(number) for number in range(first, first + count)]
        entries.sort(key=lambda entry: (not entry.is_directory, entry.name.casefold()))
        return entries

    def ancestors(self, dentry: int) -> list[int]:
        """Return the dentries from the root down to this one."""
        found = [dentry]
        while found[-1] != ROOT_DENTRY:
            found.append(self.metadata.columns.parent(found[-1]))
        return found[::-1]

    def dentry_at(self, path: str) -> int | None:
        """Return the dentry at a path, or of one that differs in case alone, or None."""
        name = os.fsencode(path)
        exact = self.metadata.find(name, ignore_case=False)
        return self.metadata.find(name, ignore_case=True) if exact is None else exact

    def search(self, text: str, cancel: CancelToken | None = None) -> SearchResult:
        """Find names anywhere in the image, whatever their case.

        ``text`` is part of a name, or a glob of a whole one; with slashes the part before the last
        one has to be in the path.

        Raises:
            CancelledError: ``cancel`` was used.
        """
        folder, _, name = text.replace("\\", "/").rpartition("/")
        wanted_folder = folder.casefold()
        if self._index is None:
            self._index = NameIndex(self.metadata)
        found: list[FoundEntry] = []
        for dentry in self._index.find(name_pattern(name)):
            if dentry == ROOT_DENTRY:
                continue
            if cancel is not None:
                cancel.check()
            path = os.fsdecode(self.metadata.path(dentry))
            if wanted_folder and wanted_folder not in path.rpartition("/")[0].casefold():
                continue
            if len(found) == MAX_FOUND:
                return SearchResult(text, tuple(found), is_cut=True)
            found.append(FoundEntry(path, self.entry(dentry)))
        return SearchResult(text, tuple(found), is_cut=False)

    def facts(self, dentry: int) -> EntryFacts:
        """Return everything the image says of a name."""
        details = file_details(self.metadata, dentry)
        blobs = self.archive.blobs
        streams = tuple(
            StreamFacts(
                stream.kind,
                os.fsdecode(stream.name),
                *self._sizes(stream.sha1),
                stream.sha1.hex(),
                not is_empty(stream.sha1, blobs) and blobs.size(stream.sha1) is None,
            )
            for stream in details.streams
        )
        return EntryFacts(
            dentry, os.fsdecode(details.path), details, streams, self.link_target(dentry)
        )

    def link_target(self, dentry: int) -> str | None:
        """Return where a symlink or junction points; None for what is neither, or is damaged."""
        try:
            target = self.view.read_link(Ino(self.metadata.columns.ino(dentry)))
        except WimError:
            return None
        return os.fsdecode(target)

    def preview(self, dentry: int, limit: int = PREVIEW_NBYTES) -> Preview:
        """Return the beginning of a file to look at.

        Raises:
            WimError: The data is corrupt, encrypted or missing.
        """
        columns = self.metadata.columns
        ino = Ino(columns.ino(dentry))
        if columns.is_directory(dentry):
            start, count = columns.children(dentry)
            names = [
                os.fsdecode(columns.name(child)).replace("\n", "\ufffd")
                + ("/" if columns.is_directory(child) else "")
                for child in range(start, start + count)
            ]
            return Preview.of_directory(names)
        target = self.link_target(dentry)
        if target is not None:
            return Preview(PreviewKind.LINK, target)
        first = columns.first_dentry(ino)
        if columns.reparse_fields(first)[0]:
            data = self.archive.blobs.read_all(columns.content_sha1(first), 1 << 20)
            return preview_of(data[:limit], len(data))
        file = self.view.open_file(ino)
        try:
            return preview_of(file.read(0, limit), self.view.attributes(ino).size)
        finally:
            file.close()

    def close(self) -> None:
        """Close the WIM; what still reads gets an error."""
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
