"""How much a commit of an overlay would write at most, told without hashing anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wimtui.engine.commit.output_format import output_format
from wimtui.engine.commit.space import free_nbytes, with_tables
from wimtui.engine.commit.write import must_rebuild
from wimtui.engine.container.integrity import DEFAULT_PIECE_SIZE
from wimtui.engine.staging.changes import ChangeKind, list_changes
from wimtui.engine.staging.staged_files import file_number

if TYPE_CHECKING:
    from pathlib import Path

    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.options import WriteOptions
    from wimtui.engine.staging.overlay import Overlay

_NODE_NBYTES: Final = 200
"""A dentry without its names, with a stream entry and tagged items."""

_ROW_NBYTES: Final = 50
_HASH_NBYTES: Final = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a commit comes to, should nothing compress and nothing be in the WIM already."""

    new: int
    """Bytes written at most: behind the archive's end, or of the whole new file."""
    needed: int
    """Bytes that have to be free for it."""
    free: int
    """Bytes that are."""
    is_rebuilt: bool
    """The whole file is written."""
    added: int
    """Names."""
    modified: int
    deleted: int
    renamed: int


def estimate(archive: Archive, overlay: Overlay, options: WriteOptions) -> Estimate:
    """Reckon a commit. Blocks; safe in any thread beside the overlay's other users.

    Raises:
        ChunkSizeError: The options ask for what no WIM can have.
        OSError: The folder to be written to, or the staging folder, cannot be looked at.
    """
    whole = options.save_as is not None or must_rebuild(archive, options)
    new = _staged_nbytes(overlay.store.folder) + _metadata_nbytes(archive, overlay)
    rows = archive.wim.blob_table.row_count + len(overlay.layer.nodes) + 1
    new += _ROW_NBYTES * rows + archive.wim.header.xml_data.size_in_wim
    if whole:
        new += _carried_nbytes(archive, options)
    if options.integrity or (
        options.integrity is None and archive.wim.header.integrity.size_in_wim
    ):
        size = new if whole else archive.wim.file.size + new
        new += _HASH_NBYTES * (size // DEFAULT_PIECE_SIZE + 1)
    path = archive.wim.path if options.save_as is None else options.save_as
    kinds = [change.kind for change in list_changes(overlay)]
    return Estimate(
        new,
        with_tables(new),
        free_nbytes(os.path.realpath(path)),
        whole,
        kinds.count(ChangeKind.ADDED),
        kinds.count(ChangeKind.MODIFIED),
        kinds.count(ChangeKind.DELETED),
        kinds.count(ChangeKind.RENAMED),
    )


def _staged_nbytes(folder: Path) -> int:
    """Return the sizes of the staged files; a sparse one is written with its holes."""
    total = 0
    for item in os.scandir(folder):
        if file_number(item.name) is not None:
            try:
                total += item.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    return total


def _metadata_nbytes(archive: Archive, overlay: Overlay) -> int:
    """Return what the image's metadata takes with the changes in it."""
    layer = overlay.layer
    base = archive.blobs.metadata_info(overlay.store.facts.image).uncompressed_size
    with layer.lock:
        names = [name for delta in layer.directories.values() for name in delta.entries]
        nodes = len(layer.nodes)
    return base + _NODE_NBYTES * (nodes + len(names)) + sum(4 * len(name) for name in names)


def _carried_nbytes(archive: Archive, options: WriteOptions) -> int:
    """Return what a rebuild takes over: as it is stored, or uncompressed where that is decoded."""
    wim = archive.wim
    form = output_format(archive, options)
    is_copied = (form.codec, form.chunk_size) == (wim.codec, wim.chunk_size)
    if is_copied and not (options.recompress or form.solid or wim.header.is_pipable):
        return wim.file.size
    table = wim.blob_table
    data = sum(table.size(row) for row in table.blob_rows())
    return data + sum(table.size(row) for row in table.metadata_rows)
