"""What of a WIM file is in use, and what an optimisation or a deletion would give back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.commit.references import count_references
from wimtui.engine.commit.trim import left_behind, trim
from wimtui.engine.container.flags import HEADER_NBYTES, HeaderFlag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.container.wim_file import WimFile

__all__ = ["ImageLoss", "SpaceFacts", "loss_of", "space_of", "trim"]


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """Bytes of one file."""

    file_size: int
    reclaimable: int
    """Named by nothing: what ``optimize`` gives back without compressing anything again."""
    left_behind: int
    """Of these, what lies behind the archive's end."""
    is_interrupted: bool
    """Whether the header bears the mark of a writer."""


@dataclass(frozen=True, slots=True)
class ImageLoss:
    """What goes with an image."""

    index: int
    name: str
    file_count: int
    directory_count: int
    blob_count: int
    """Blobs that no other image uses."""
    stored_nbytes: int
    """What these take in the file; for blobs in solid resources what they take uncompressed."""
    is_boot: bool


def space_of(path: str) -> SpaceFacts:
    """Look at the tables of a WIM. Raises WimError."""
    with Archive.open(path, ArchiveOptions()) as archive:
        wim = archive.wim
        named = sum(_named(wim))
        return SpaceFacts(
            wim.file.size,
            max(wim.file.size - named, 0),
            left_behind(wim),
            bool(wim.header.flags & HeaderFlag.WRITE_IN_PROGRESS),
        )


def _named(wim: WimFile) -> Iterator[int]:
    """Yield the sizes of all that header and blob table name."""
    header = wim.header
    yield HEADER_NBYTES
    for table in (header.blob_table, header.xml_data, header.integrity):
        yield table.size_in_wim
    rows = wim.blob_table
    for number in (*rows.metadata_rows, *rows.blob_rows()):
        if rows.index.solid_index(number) < 0 and rows.index.is_usable(number):
            yield rows.row(number).resource.size_in_wim
    for solid in rows.solids:
        yield solid.size_in_wim


def loss_of(path: str, index: int) -> ImageLoss:
    """Count what only one image has. Reads the metadata of all. Raises WimError."""
    with Archive.open(path, ArchiveOptions()) as archive:
        wim = archive.wim
        own: set[bytes] = set()
        others: set[bytes] = set()
        for number in range(1, wim.image_count + 1):
            used = set(count_references(archive.image(number)))
            if number == index:
                own = used
            else:
                others |= used
        lost = [archive.blobs.describe(sha1) for sha1 in own - others]
        found = [blob for blob in lost if blob is not None]
        info = wim.xml.images[index - 1].info()
        return ImageLoss(
            index,
            info.name,
            info.file_count,
            info.directory_count,
            len(found),
            sum(blob.stored_size or blob.uncompressed_size for blob in found),
            wim.header.effective_boot_index == index,
        )
