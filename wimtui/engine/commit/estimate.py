"""How much a commit of an overlay would write, told without hashing anything."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit.output_format import output_format
from wimtui.engine.commit.sources import FileSource
from wimtui.engine.commit.space import Load, Needs
from wimtui.engine.commit.write import must_rebuild
from wimtui.engine.container.integrity import DEFAULT_PIECE_SIZE
from wimtui.engine.errors import WimError
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
    """What a commit comes to."""

    new: int
    """Bytes at most, behind the archive's end or of the whole new file: nothing compresses."""
    needed: int
    """Bytes that are likely, from compressing a sample of what is staged."""
    free: int
    """Bytes that the disk has for this user."""
    is_rebuilt: bool
    """The whole file is written."""
    added: int
    """Names."""
    modified: int
    deleted: int
    renamed: int
    least: int
    """Bytes without which a commit is refused before it begins."""


def estimate(archive: Archive, overlay: Overlay, options: WriteOptions) -> Estimate:
    """Reckon a commit. Blocks; safe in any thread beside the overlay's other users.

    Raises:
        ChunkSizeError: The options ask for what no WIM can have.
        OSError: The folder to be written to, or the staging folder, cannot be looked at.
    """
    whole = options.save_as is not None or must_rebuild(archive, options)
    most, likely = _carried_nbytes(archive, options) if whole else (0, 0)
    tables = _tables_nbytes(archive, overlay)
    path = archive.wim.path if options.save_as is None else options.save_as
    staged = _load(archive, overlay, options)
    if options.integrity or (
        options.integrity is None and archive.wim.header.integrity.size_in_wim
    ):
        covered = tables + staged.nbytes + (most if whole else archive.wim.file.size)
        tables += _HASH_NBYTES * (covered // DEFAULT_PIECE_SIZE + 1)
    needs = Needs(os.path.realpath(path), tables + likely, (staged,))
    try:
        found = needs.estimate()
    except (WimError, OSError):
        # Somebody writes meanwhile, and what was to be sampled is gone.
        found = replace(needs, loads=(replace(staged, codec=CodecId.NONE),)).estimate()
    kinds = [change.kind for change in list_changes(overlay)]
    return Estimate(
        found.most_nbytes + most - likely,
        found.needed_nbytes,
        found.free_nbytes,
        whole,
        kinds.count(ChangeKind.ADDED),
        kinds.count(ChangeKind.MODIFIED),
        kinds.count(ChangeKind.DELETED),
        kinds.count(ChangeKind.RENAMED),
        found.least_nbytes,
    )


def _load(archive: Archive, overlay: Overlay, options: WriteOptions) -> Load:
    """Return what is staged as data to be compressed."""
    form = output_format(archive, options)
    sources = _staged_sources(overlay.store.folder)
    if form.solid:
        return Load(sources, form.solid_codec, form.solid_chunk_size, is_solid=True)
    return Load(sources, form.codec, form.chunk_size)


def _staged_sources(folder: Path) -> list[FileSource]:
    """Return the staged files; a sparse one is written with its holes."""
    sources = []
    for item in os.scandir(folder):
        if file_number(item.name) is not None:
            try:
                size = item.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
            sources.append(FileSource(item.path, size))
    return sources


def _tables_nbytes(archive: Archive, overlay: Overlay) -> int:
    """Return what the image's metadata and the tables take with the changes in them."""
    layer = overlay.layer
    wim = archive.wim
    nbytes = archive.blobs.metadata_info(overlay.store.facts.image).uncompressed_size
    with layer.lock:
        names = [name for delta in layer.directories.values() for name in delta.entries]
        nodes = len(layer.nodes)
    nbytes += _NODE_NBYTES * (nodes + len(names)) + sum(4 * len(name) for name in names)
    return (
        nbytes
        + _ROW_NBYTES * (wim.blob_table.row_count + nodes + 1)
        + (wim.header.xml_data.size_in_wim)
    )


def _carried_nbytes(archive: Archive, options: WriteOptions) -> tuple[int, int]:
    """Return what a rebuild takes over, at most and as is likely.

    That is what is stored, or uncompressed where it is decoded and nothing of it should compress.
    """
    wim = archive.wim
    form = output_format(archive, options)
    stored = wim.file.size
    is_copied = (form.codec, form.chunk_size) == (wim.codec, wim.chunk_size)
    if is_copied and not (options.recompress or form.solid or wim.header.is_pipable):
        return stored, stored
    table = wim.blob_table
    data = sum(table.size(row) for row in (*table.blob_rows(), *table.metadata_rows))
    if CodecId.NONE in {form.codec, wim.codec}:
        return data, data
    return max(data, stored), min(data, stored)
