"""One image's metadata resource in memory: security data, dentries, inodes and streams."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self

from wimtui.engine.errors import LimitError, MetadataError
from wimtui.engine.image._metadata_scan import scan
from wimtui.engine.image.names import upcase_table
from wimtui.engine.image.security import SecurityData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from wimtui.engine.image._columns import Columns
    from wimtui.engine.image.blobs import Blobs

ROOT_DENTRY: Final = 0

MAX_METADATA_NBYTES: Final = 2**31 - 1
"""Offsets in the columns have 32 bits; 2 GiB of metadata are some 16 million files."""

_LONG_PREFIX_NBYTES: Final = 8192

SCAN_FAULTS: Final = {
    2: ("dentry", "it ends after the metadata does"),
    3: ("dentry", "its stated length is too short for its names"),
    4: ("dentry or stream entry", "a name has an odd number of bytes"),
    5: ("stream entry", "it ends after the metadata does"),
    6: ("stream entry", "its stated length is too short for its name"),
    7: ("child list", "it has no end marker"),
    8: ("dentry", "its child list begins after the end of the metadata"),
    9: ("dentry", "it overlaps another, so child lists are shared, overlapping or cyclic"),
    10: ("dentry", "directories are nested more than 16,383 deep"),
    11: ("root dentry", "it is no plain directory"),
    12: ("root dentry", "the metadata ends before it"),
}


class WarningKind(IntEnum):
    """What a scan tolerates; the numbers are those of the scanner."""

    ROOT_MISSING = 0
    ROOT_NAMED = 1
    NAME_DOTS = 2
    NAME_EMPTY = 3
    NAME_NUL = 4
    NAME_SLASH = 5
    NAME_TOO_LONG = 6
    NAME_DUPLICATE = 7
    CHILDREN_IGNORED = 8
    SECURITY_ID = 9
    DIRECTORY_HARD_LINK = 10
    HARD_LINK_DATA = 11
    HARD_LINK_FIELDS = 12
    STREAM_IGNORED = 13
    STREAM_ENCRYPTED = 14
    STREAM_DUPLICATE = 15
    STREAM_NAME_NUL = 16


_WARNING_TEXT: Final = {
    WarningKind.ROOT_MISSING: "the image has no root directory; it is shown empty",
    WarningKind.ROOT_NAMED: "the root directory has a name, which is ignored",
    WarningKind.NAME_DOTS: "files named . or .. are left out",
    WarningKind.NAME_EMPTY: "files without a name are left out",
    WarningKind.NAME_NUL: "files with a NUL in their name are left out",
    WarningKind.NAME_SLASH: "files with a slash in their name are hidden",
    WarningKind.NAME_TOO_LONG: "files whose name exceeds 1,024 bytes of UTF-8 are hidden",
    WarningKind.NAME_DUPLICATE: "files with the same name as another are left out",
    WarningKind.CHILDREN_IGNORED: "files that are no directories have children, which are ignored",
    WarningKind.SECURITY_ID: "security ids out of range count as none",
    WarningKind.DIRECTORY_HARD_LINK: "hard-linked directories are shown as separate ones",
    WarningKind.HARD_LINK_DATA: "hard-link groups hold different data; they are shown separately",
    WarningKind.HARD_LINK_FIELDS: "hard links disagree about attributes or times; the first counts",
    WarningKind.STREAM_IGNORED: "surplus unnamed streams are ignored",
    WarningKind.STREAM_ENCRYPTED: "streams beside the raw data of encrypted files are ignored",
    WarningKind.STREAM_DUPLICATE: "streams with the same name as another of the file are ignored",
    WarningKind.STREAM_NAME_NUL: "streams with a NUL in their name cannot be shown",
}


@dataclass(frozen=True, slots=True)
class ImageWarning:
    """Something tolerated while the image was read."""

    kind: WarningKind
    count: int
    text: str
    directories: tuple[bytes, ...]
    """Paths of some of the directories concerned, at most eight."""


@dataclass(frozen=True, slots=True)
class ImageCounters:
    """What the XML says of an image, as wimlib defines it (wim-container 4.5)."""

    directory_count: int
    file_count: int
    total_nbytes: int
    hard_link_nbytes: int


class ImageMetadata:
    """The whole image, read-only; dentries are numbers, 0 is the root.

    Attributes:
        columns: Everything about dentries, inodes and streams.
        security: The security descriptors.
    """

    __slots__ = ("columns", "security")

    def __init__(self, columns: Columns, security: SecurityData) -> None:
        """Take what ``parse`` found."""
        self.columns = columns
        self.security = security

    @classmethod
    def parse(cls, metadata: Buffer) -> Self:
        """Read a decoded metadata resource; the bytes are not kept.

        Raises:
            MetadataError: The resource is malformed; names the structure and its offset.
            LimitError: It is over 2 GiB, or has millions of security descriptors.
        """
        view = memoryview(metadata).cast("B")
        if len(view) > MAX_METADATA_NBYTES:
            raise LimitError(f"a metadata resource of {len(view)} bytes is over 2 GiB")
        security = SecurityData.parse(view)
        status, offset, columns = scan(view, security.root_offset, security.count, upcase_table())
        if columns is None:
            structure, message = SCAN_FAULTS[status]
            raise MetadataError(
                message,
                structure=f"{structure} at offset {offset} of the metadata resource",
                hint="the image is damaged",
            )
        return cls(columns, security)

    @property
    def nbytes(self) -> int:
        """Bytes resident for this image."""
        return self.columns.nbytes + len(self.security.raw)

    def warnings(self) -> list[ImageWarning]:
        """Return what was tolerated, with counts."""
        places: dict[int, dict[bytes, None]] = {}
        for kind, dentry, _ in self.columns.warning_examples():
            paths = places.setdefault(kind, {})
            if len(paths) < 8:
                paths[self.path(dentry)] = None
        return [
            ImageWarning(
                WarningKind(kind),
                count,
                _WARNING_TEXT[WarningKind(kind)],
                tuple(places.get(kind, ())),
            )
            for kind, count in enumerate(self.columns.warning_counts())
            if count
        ]

    def path(self, dentry: int) -> bytes:
        """Return a dentry's path from the root, which is ``/``."""
        return self.columns.path(dentry)

    def find(self, path: bytes, *, ignore_case: bool = False) -> int | None:
        """Return the dentry at a path, or None.

        Slashes separate components; where that finds nothing, backslashes do too.
        """
        dentry = self._find(path.split(b"/"), ignore_case)
        if dentry is None and b"\\" in path:
            dentry = self._find(path.replace(b"\\", b"/").split(b"/"), ignore_case)
        return dentry

    def _find(self, components: list[bytes], ignore_case: bool) -> int | None:
        dentry = ROOT_DENTRY
        for component in components:
            if component:
                dentry = self.columns.lookup(dentry, component, ignore_case)
                if dentry < 0:
                    return None
        return dentry

    def walk(self, top: int = ROOT_DENTRY) -> Iterator[tuple[int, bytes]]:
        """Yield (dentry, path) of a dentry and all below it, in pre-order and collation order.

        Hidden dentries are included.
        """
        columns = self.columns
        path = self.path(top)
        yield top, path
        # Prefixes longer than a few KiB are not kept: a hostile image nests 16,383 levels.
        prefixes: list[tuple[int, bytes]] = [(top, path if path == b"/" else path + b"/")]
        end = columns.next_in_preorder(top, descend=False)
        dentry = columns.next_in_preorder(top)
        while dentry not in (-1, end):
            parent = columns.parent(dentry)
            while prefixes[-1][0] != parent:
                prefixes.pop()
            prefix = prefixes[-1][1]
            path = prefix + columns.name(dentry) if prefix else self.path(dentry)
            yield dentry, path
            if columns.is_directory(dentry):
                kept = path + b"/" if len(path) < _LONG_PREFIX_NBYTES else b""
                prefixes.append((dentry, kept))
            dentry = columns.next_in_preorder(dentry)

    def counters(self, blobs: Blobs) -> ImageCounters:
        """Count files and bytes; missing blobs count as none."""
        columns = self.columns
        directories = files = total = linked = 0
        for ino in range(1, columns.inode_count + 1):
            links = columns.link_count(ino)
            if columns.is_directory(columns.first_dentry(ino)):
                directories += links
            else:
                files += links
            nbytes = 0
            for sha1 in columns.stream_hashes(ino):
                nbytes += blobs.size(sha1) or 0
            total += links * nbytes
            linked += (links - 1) * nbytes
        return ImageCounters(directories, files, total, linked)
