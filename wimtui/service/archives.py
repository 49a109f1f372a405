"""What front ends ask of a WIM that need not be mounted: facts, listings, files, verification."""

from __future__ import annotations

import glob
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.container.flags import HeaderFlag, ResourceFlag
from wimtui.engine.container.header import MAGIC, PIPABLE_MAGIC
from wimtui.engine.container.xml_data import ImageInfo, WindowsInfo
from wimtui.engine.errors import WimError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.container.blob_store import BlobInfo
    from wimtui.engine.container.header import Header

__all__ = [
    "ArchiveFacts", "ArchiveOptions", "BlobFacts", "HeaderFacts", "ImageInfo", "ResourceFacts",
    "SplitSet", "WindowsInfo", "archive_facts", "blob_facts", "blob_of", "header_facts",
    "inspect_archive", "open_archive", "split_set_of",
]  # fmt: skip

_CODEC_NAMES = ("None", "XPRESS", "LZX", "LZMS")

ARCHITECTURES = {
    0: "x86", 1: "MIPS", 2: "Alpha", 3: "PPC", 5: "ARM", 6: "ia64", 9: "x86_64", 12: "ARM64",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What the header and the XML data say of a file."""

    path: str
    guid: str
    """32 hexadecimal digits in file order."""
    version: int
    image_count: int
    compression: str
    chunk_size: int
    part_number: int
    total_parts: int
    boot_index: int
    total_bytes: int
    """TOTALBYTES of the XML root."""
    file_size: int
    attributes: tuple[str, ...]
    solid: bool
    """Whether any blob lies in a solid resource."""
    warnings: tuple[str, ...]
    images: tuple[ImageInfo, ...]


@dataclass(frozen=True, slots=True)
class SplitSet:
    """What opens the images of a WIM that is a part of a split set, or of any other."""

    first: str
    """The part that has the images' metadata; the WIM itself where no other is known."""
    references: tuple[str, ...] = ()
    """Globs of all parts."""


@dataclass(frozen=True, slots=True)
class ResourceFacts:
    """A resource header."""

    size: int
    flags: int
    offset: int
    original_size: int


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """Every field of the header, as stored."""

    magic: bytes
    version: int
    flags: int
    flag_names: tuple[str, ...]
    chunk_size: int
    guid: str
    part_number: int
    total_parts: int
    image_count: int
    blob_table: ResourceFacts
    xml_data: ResourceFacts
    boot_metadata: ResourceFacts
    boot_index: int
    integrity: ResourceFacts


@dataclass(frozen=True, slots=True)
class BlobFacts:
    """One entry of the blob table. The solid fields are None for a blob with its own resource."""

    sha1: str
    uncompressed_size: int
    stored_size: int
    offset_in_wim: int
    part_number: int
    reference_count: int
    flags: tuple[str, ...]
    solid_uncompressed_size: int | None = None
    solid_stored_size: int | None = None
    solid_offset_in_wim: int | None = None
    offset_in_solid: int | None = None


@contextmanager
def open_archive(path: str, options: ArchiveOptions | None = None) -> Iterator[Archive]:
    """Open an archive and close it at the end. Raises WimError."""
    with Archive.open(path, options) as archive:
        yield archive


def inspect_archive(path: str) -> ArchiveFacts:
    """Open a WIM, return its facts, close it. Raises WimError."""
    with open_archive(path) as archive:
        return archive_facts(archive)


def split_set_of(path: str, facts: ArchiveFacts) -> SplitSet:
    """Return where the parts of a WIM are by the usual names: a.swm, a2.swm, a3.swm.

    Args:
        path: The WIM, as the user named it.
        facts: What it says of itself.
    """
    if facts.total_parts < 2:
        return SplitSet(path)
    known = PurePath(path)
    stem = known.stem
    if facts.part_number > 1:
        stem = stem.removesuffix(str(facts.part_number))
    folder = PurePath(glob.escape(str(known.parent)))
    references = (str(folder / f"{glob.escape(stem)}*{known.suffix}"),)
    first = str(known.with_name(f"{stem}{known.suffix}")) if stem else path
    is_first = facts.part_number == 1 or not _is_first_part(first, facts.guid)
    return SplitSet(path if is_first else first, references)


def _is_first_part(path: str, guid: str) -> bool:
    try:
        facts = inspect_archive(path)
    except WimError:
        return False
    return facts.part_number == 1 and facts.guid == guid


def archive_facts(archive: Archive) -> ArchiveFacts:
    """Return what `wimtui info` shows of an archive."""
    wim = archive.wim
    header = wim.header
    return ArchiveFacts(
        path=wim.path,
        guid=header.guid.hex(),
        version=int(header.version),
        image_count=header.image_count,
        compression=_CODEC_NAMES[wim.codec],
        chunk_size=wim.chunk_size,
        part_number=header.part_number,
        total_parts=header.total_parts,
        boot_index=header.boot_index,
        total_bytes=wim.xml.total_bytes,
        file_size=wim.file.size,
        attributes=tuple(_attributes(header)),
        solid=bool(wim.blob_table.solids),
        warnings=wim.warnings,
        images=tuple(image.info() for image in wim.xml.images),
    )


def _attributes(header: Header) -> Iterator[str]:
    if header.is_pipable:
        yield "Pipable"
    if header.integrity.offset_in_wim:
        yield "Integrity info"
    names = {
        HeaderFlag.RP_FIX: "Relative path junction",
        HeaderFlag.RESOURCE_ONLY: "Resource only",
        HeaderFlag.METADATA_ONLY: "Metadata only",
        HeaderFlag.READONLY: "Readonly",
    }
    yield from (name for flag, name in names.items() if header.flags & flag)


def header_facts(archive: Archive) -> HeaderFacts:
    """Return every header field."""
    header = archive.wim.header

    def resource(name: str) -> ResourceFacts:
        found = getattr(header, name)
        return ResourceFacts(
            found.size_in_wim, int(found.flags), found.offset_in_wim, found.uncompressed_size
        )

    return HeaderFacts(
        magic=PIPABLE_MAGIC if header.is_pipable else MAGIC,
        version=int(header.version),
        flags=int(header.flags),
        flag_names=tuple(flag.name or "" for flag in HeaderFlag if header.flags & flag),
        chunk_size=header.chunk_size,
        guid=header.guid.hex(),
        part_number=header.part_number,
        total_parts=header.total_parts,
        image_count=header.image_count,
        blob_table=resource("blob_table"),
        xml_data=resource("xml_data"),
        boot_metadata=resource("boot_metadata"),
        boot_index=header.boot_index,
        integrity=resource("integrity"),
    )


_FLAGS_SHOWN = (
    ResourceFlag.COMPRESSED,
    ResourceFlag.METADATA,
    ResourceFlag.FREE,
    ResourceFlag.SPANNED,
    ResourceFlag.SOLID,
)


def blob_facts(archive: Archive) -> Iterator[BlobFacts]:
    """Yield every blob, metadata resources first."""
    return map(_blob_facts, archive.blobs.blobs())


def blob_of(archive: Archive, sha1: bytes) -> BlobFacts:
    """Return the facts of one blob; all zero for an empty stream or a missing blob."""
    found = archive.blobs.describe(sha1)
    return BlobFacts(sha1.hex(), 0, 0, 0, 0, 0, ()) if found is None else _blob_facts(found)


def _blob_facts(blob: BlobInfo) -> BlobFacts:
    solid = blob.solid
    return BlobFacts(
        sha1=blob.sha1.hex(),
        uncompressed_size=blob.uncompressed_size,
        stored_size=blob.stored_size,
        offset_in_wim=blob.offset,
        part_number=blob.part_number,
        reference_count=blob.reference_count,
        flags=tuple(flag.name or "" for flag in _FLAGS_SHOWN if flag & blob.flags),
        solid_uncompressed_size=None if solid is None else solid.uncompressed_size,
        solid_stored_size=None if solid is None else solid.size_in_wim,
        solid_offset_in_wim=None if solid is None else solid.offset_in_wim,
        offset_in_solid=None if solid is None else blob.offset_in_resource,
    )
