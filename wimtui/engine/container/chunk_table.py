"""Chunk tables: where each chunk of a compressed resource lies."""

from __future__ import annotations

import sys
import threading
from array import array
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from wimtui.engine.errors import CorruptResourceError

if TYPE_CHECKING:
    from wimtui.engine.container.file_bytes import FileBytes

PIECE_CHUNKS = 4096
"""Chunks whose table entries are read at a time: 16 or 32 KiB of table."""

_MAX_PIECES = 16


class ChunkPlace(NamedTuple):
    """Where one chunk lies. Stored raw when both sizes agree."""

    offset_in_wim: int
    stored_size: int
    uncompressed_size: int


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """Arithmetic of one chunked resource: plain, pipable or solid.

    Plain and pipable tables hold offsets of the chunks after the first, solid ones hold the stored
    sizes of all.
    """

    offset_in_wim: int
    """Of the resource; names it in messages."""

    uncompressed_size: int
    chunk_size: int
    chunk_count: int
    entry_nbytes: int
    entries_are_sizes: bool
    table_offset_in_wim: int
    data_offset_in_wim: int
    data_nbytes: int
    """Bytes of all chunks, without the table and without the 4 bytes before each pipable chunk."""

    chunk_header_nbytes: int
    """4 in a pipable resource, else 0."""

    @classmethod
    def of_plain(
        cls,
        offset_in_wim: int,
        size_in_wim: int,
        uncompressed_size: int,
        chunk_size: int,
        *,
        path: str,
        is_pipable: bool = False,
    ) -> ChunkLayout:
        """Return the layout of a non-solid compressed resource.

        Raises:
            CorruptResourceError: The resource is too small for its chunk table and a byte a chunk.
        """
        count = -(-uncompressed_size // chunk_size)
        width = 8 if uncompressed_size >> 32 else 4
        table_nbytes = max(0, count - 1) * width
        header_nbytes = 4 if is_pipable else 0
        data_nbytes = size_in_wim - table_nbytes - header_nbytes * count
        _check_room(offset_in_wim, size_in_wim, count, data_nbytes, path)
        table_offset = offset_in_wim
        if is_pipable:
            table_offset += size_in_wim - table_nbytes
        return cls(
            offset_in_wim=offset_in_wim,
            uncompressed_size=uncompressed_size,
            chunk_size=chunk_size,
            chunk_count=count,
            entry_nbytes=width,
            entries_are_sizes=False,
            table_offset_in_wim=table_offset,
            data_offset_in_wim=offset_in_wim if is_pipable else offset_in_wim + table_nbytes,
            data_nbytes=data_nbytes,
            chunk_header_nbytes=header_nbytes,
        )

    @classmethod
    def of_solid(
        cls,
        offset_in_wim: int,
        size_in_wim: int,
        uncompressed_size: int,
        chunk_size: int,
        *,
        path: str,
    ) -> ChunkLayout:
        """Return the layout of a solid resource, whose table follows a header of 16 bytes.

        Raises:
            CorruptResourceError: The resource is too small for its chunk table and a byte a chunk.
        """
        count = -(-uncompressed_size // chunk_size)
        data_nbytes = size_in_wim - 16 - 4 * count
        _check_room(offset_in_wim, size_in_wim, count, data_nbytes, path)
        return cls(
            offset_in_wim=offset_in_wim,
            uncompressed_size=uncompressed_size,
            chunk_size=chunk_size,
            chunk_count=count,
            entry_nbytes=4,
            entries_are_sizes=True,
            table_offset_in_wim=offset_in_wim + 16,
            data_offset_in_wim=offset_in_wim + 16 + 4 * count,
            data_nbytes=data_nbytes,
            chunk_header_nbytes=0,
        )


def _check_room(offset: int, size_in_wim: int, count: int, data_nbytes: int, path: str) -> None:
    if data_nbytes < count:
        raise CorruptResourceError(
            f"{size_in_wim} bytes cannot hold {count} chunks and their table",
            path=path,
            structure="resource",
            offset_in_file=offset,
        )


class ChunkTable:
    """The chunk table of one resource, read in pieces as they are needed; safe between threads.

    A resource of any size costs at most 16 pieces of 32 KiB, and for solid ones 8 bytes for every
    4096 chunks.
    """

    __slots__ = ("_bases", "_file", "_layout", "_lock", "_pieces")

    def __init__(self, file: FileBytes, layout: ChunkLayout) -> None:
        self._file = file
        self._layout = layout
        self._lock = threading.Lock()
        self._pieces: dict[int, array[int]] = {}
        self._bases: array[int] | None = None
        if layout.chunk_count == 1:
            self._pieces[0] = array("Q", (0, layout.data_nbytes))

    def places(self, first: int, last: int) -> list[ChunkPlace]:
        """Return the places of chunks ``first`` to ``last`` (inclusive).

        Raises:
            CorruptResourceError: An entry leaves a chunk no bytes, or more than it decodes to.
            TruncatedError: The file ends within the table.
            ReadFailedError: The operating system reports an error.
        """
        layout = self._layout
        chunk_size = layout.chunk_size
        places = []
        piece_number = -1
        piece = array("Q")
        for chunk in range(first, last + 1):
            if chunk // PIECE_CHUNKS != piece_number:
                piece_number = chunk // PIECE_CHUNKS
                piece = self._pieces.get(piece_number) or self._load(piece_number)
            index = chunk % PIECE_CHUNKS
            start = piece[index]
            stored_size = piece[index + 1] - start
            size = min(chunk_size, layout.uncompressed_size - chunk * chunk_size)
            if not 0 < stored_size <= size or start + stored_size > layout.data_nbytes:
                raise self._bad_entry(chunk, stored_size, size)
            offset = layout.data_offset_in_wim + start + layout.chunk_header_nbytes * (chunk + 1)
            places.append(ChunkPlace(offset, stored_size, size))
        return places

    def place(self, chunk: int) -> ChunkPlace:
        """Return the place of one chunk. Raises as ``places``."""
        piece = self._pieces.get(chunk // PIECE_CHUNKS)
        if piece is None:
            [place] = self.places(chunk, chunk)
            return place
        layout = self._layout
        index = chunk % PIECE_CHUNKS
        start = piece[index]
        stored_size = piece[index + 1] - start
        size = min(layout.chunk_size, layout.uncompressed_size - chunk * layout.chunk_size)
        if not 0 < stored_size <= size or start + stored_size > layout.data_nbytes:
            raise self._bad_entry(chunk, stored_size, size)
        offset = layout.data_offset_in_wim + start + layout.chunk_header_nbytes * (chunk + 1)
        return ChunkPlace(offset, stored_size, size)

    def _load(self, number: int) -> array[int]:
        """Read a piece: the offsets of its chunks, counted from chunk 0, and the last one's end."""
        layout = self._layout
        first = number * PIECE_CHUNKS
        end = min(first + PIECE_CHUNKS, layout.chunk_count)
        if layout.entries_are_sizes:
            base = self._solid_bases()[number]
            piece = array("Q", accumulate(self._entries(first, end), initial=base))
        else:
            # The offset of chunk k is entry k - 1; chunk 0 and the end have none.
            piece = array("Q", (0,) if first == 0 else ())
            entries_end = min(end, layout.chunk_count - 1)
            piece.extend(iter(self._entries(max(first - 1, 0), entries_end)))
            if end == layout.chunk_count:
                piece.append(layout.data_nbytes)
        if end == layout.chunk_count:
            # Readers derive the last chunk's size from the resource's, whatever its entry says.
            piece[-1] = layout.data_nbytes
        with self._lock:
            while len(self._pieces) >= _MAX_PIECES:
                del self._pieces[next(iter(self._pieces))]
            self._pieces[number] = piece
        return piece

    def _solid_bases(self) -> array[int]:
        """Return the offset of the first chunk of each piece, summing the table once."""
        if self._bases is None:
            bases = array("Q", (0,))
            for first in range(0, self._layout.chunk_count - PIECE_CHUNKS, PIECE_CHUNKS):
                bases.append(bases[-1] + sum(self._entries(first, first + PIECE_CHUNKS)))
            self._bases = bases
        return self._bases

    def _entries(self, first: int, end: int) -> array[int]:
        layout = self._layout
        width = layout.entry_nbytes
        data = self._file.read(
            layout.table_offset_in_wim + first * width,
            (end - first) * width,
            f"chunk table of the resource at {layout.offset_in_wim}",
        )
        entries = array("I" if width == 4 else "Q", data)
        if sys.byteorder == "big":
            entries.byteswap()
        return entries

    def _bad_entry(self, chunk: int, stored_size: int, size: int) -> CorruptResourceError:
        layout = self._layout
        entry = chunk if layout.entries_are_sizes else max(chunk - 1, 0)
        return CorruptResourceError(
            f"invalid chunk table: {stored_size} stored bytes for {size} bytes of chunk {chunk}",
            path=self._file.path,
            structure=f"chunk table of the resource at {layout.offset_in_wim}",
            offset_in_file=layout.table_offset_in_wim + entry * layout.entry_nbytes,
        )
