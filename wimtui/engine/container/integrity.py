"""Integrity table: SHA-1 of each piece of a file, from its header to the end of its blob table."""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import TYPE_CHECKING

from wimtui.engine.container.flags import HEADER_NBYTES
from wimtui.engine.errors import IntegrityError, IntegrityTableError
from wimtui.engine.progress import Phase, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from wimtui.engine.container.file_bytes import FileBytes
    from wimtui.engine.container.resource import ResourceHeader
    from wimtui.engine.progress import CancelToken, ProgressSink

DEFAULT_PIECE_SIZE = 10 << 20
SMALLEST_PIECE = 1 << 12
LARGEST_PIECE = 1 << 27
"""A writer keeps an old table's piece size between these two, and otherwise takes the default."""

_LAYOUT = struct.Struct("<III")
_READ_NBYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class IntegrityTable:
    """Digests of the pieces of a file."""

    piece_size: int
    digests: bytes
    """20 bytes a piece."""

    @classmethod
    def parse(
        cls, data: bytes, *, covered_nbytes: int, path: str = "", offset_in_file: int = 0
    ) -> IntegrityTable:
        """Read a table that covers ``covered_nbytes`` bytes.

        Raises:
            IntegrityTableError: Its fields contradict each other or the covered size.
        """
        reason = None
        size = count = piece_size = 0
        if len(data) < _LAYOUT.size:
            reason = f"{len(data)} bytes are too few"
        else:
            size, count, piece_size = _LAYOUT.unpack_from(data)
            if size != len(data) or size != _LAYOUT.size + 20 * count:
                reason = f"{len(data)} bytes, {size} by its size field, for {count} entries"
            elif piece_size < SMALLEST_PIECE:
                reason = f"pieces of {piece_size} bytes"
            elif count != -(-covered_nbytes // piece_size):
                reason = f"{count} entries for {covered_nbytes} bytes in pieces of {piece_size}"
        if reason is not None:
            raise IntegrityTableError(
                f"the integrity table is invalid: {reason}",
                path=path,
                structure="integrity table",
                offset_in_file=offset_in_file,
            )
        return cls(piece_size, data[_LAYOUT.size :])

    def pack(self) -> bytes:
        """Return the table as it is stored."""
        size = _LAYOUT.size + len(self.digests)
        return _LAYOUT.pack(size, self.piece_count, self.piece_size) + self.digests

    @property
    def piece_count(self) -> int:
        """Number of pieces."""
        return len(self.digests) // 20

    def digest(self, piece: int) -> bytes:
        """Return the digest of a piece, 20 bytes."""
        return self.digests[20 * piece : 20 * piece + 20]

    @property
    def piece_size_to_keep(self) -> int:
        """The piece size that a rewritten table of the same file has."""
        if self.digests and SMALLEST_PIECE <= self.piece_size <= LARGEST_PIECE:
            return self.piece_size
        return DEFAULT_PIECE_SIZE


def covered_nbytes(blob_table: ResourceHeader, *, path: str = "") -> int:
    """Return how many bytes a table covers: from the header's end to the blob table's.

    Raises:
        IntegrityTableError: The blob table ends within the header.
    """
    if blob_table.end_in_wim < HEADER_NBYTES:
        raise IntegrityTableError(
            "the blob table ends before the header does, so nothing can be covered",
            path=path,
            structure="header",
            offset_in_file=48,
        )
    return blob_table.end_in_wim - HEADER_NBYTES


def read_integrity_table(
    file: FileBytes, resource: ResourceHeader, blob_table: ResourceHeader
) -> IntegrityTable | None:
    """Return the integrity table of a file, or None where it has none.

    Raises:
        IntegrityTableError: It is malformed.
        TruncatedError: It lies outside the file.
    """
    if resource.offset_in_wim == 0:
        return None
    data = file.read(resource.offset_in_wim, resource.uncompressed_size, "integrity table")
    return IntegrityTable.parse(
        data,
        covered_nbytes=covered_nbytes(blob_table, path=file.path),
        path=file.path,
        offset_in_file=resource.offset_in_wim,
    )


def check_pieces(
    file: FileBytes,
    table: IntegrityTable,
    covered: int,
    *,
    progress: ProgressSink | None = None,
    cancel: CancelToken | None = None,
) -> None:
    """Compare every piece with its digest, hashing on all cores.

    Raises:
        IntegrityError: A piece has another digest; the message says which bytes.
        CancelledError: ``cancel`` was used.
    """
    pieces = range(table.piece_count)
    done = 0
    for piece, digest in _digests(file, table.piece_size, covered, pieces, cancel):
        start = HEADER_NBYTES + piece * table.piece_size
        end = min(start + table.piece_size, HEADER_NBYTES + covered)
        if digest != table.digest(piece):
            raise IntegrityError(
                f"integrity check failed in piece {piece} (bytes {start} to {end - 1})",
                path=file.path,
                structure="integrity-covered data",
                offset_in_file=start,
            )
        done += end - start
        if progress is not None:
            progress(Progress(Phase.INTEGRITY, done, covered, piece + 1, table.piece_count))


def compute_table(
    file: FileBytes,
    covered: int,
    *,
    piece_size: int = DEFAULT_PIECE_SIZE,
    old: IntegrityTable | None = None,
    old_covered: int = 0,
    progress: ProgressSink | None = None,
    cancel: CancelToken | None = None,
) -> IntegrityTable:
    """Return the table of a file as it is.

    Args:
        file: The file, open for reading; its size at opening must include the covered range.
        covered: Bytes from the header's end to the blob table's.
        piece_size: Bytes a piece.
        old: A table whose digests may be reused: none of the bytes that it covers has changed.
        old_covered: What ``old`` covers.
        progress: Told after each piece.
        cancel: Asked before each piece.

    Raises:
        CancelledError: ``cancel`` was used.
        TruncatedError: The file is shorter than the covered range.
    """
    reused = 0
    if old is not None and old.piece_size == piece_size:
        # The last old piece may have been short; it counts where its length is what it was.
        reused = min(covered, old_covered) // piece_size
        if covered == old_covered:
            reused = old.piece_count
    count = -(-covered // piece_size)
    digests = [old.digest(piece) for piece in range(reused)] if old is not None else []
    for piece, digest in _digests(file, piece_size, covered, range(reused, count), cancel):
        digests.append(digest)
        if progress is not None:
            done = min((piece + 1) * piece_size, covered)
            progress(Progress(Phase.INTEGRITY, done, covered, piece + 1, count))
    return IntegrityTable(piece_size, b"".join(digests))


def _digests(
    file: FileBytes, piece_size: int, covered: int, pieces: range, cancel: CancelToken | None
) -> Iterator[tuple[int, bytes]]:
    """Yield pieces and their digests in order, a few pieces ahead on other threads."""
    workers = min(cpu_count() or 1, len(pieces))
    if workers <= 1:
        for piece in pieces:
            yield piece, _digest(file, piece, piece_size, covered, cancel)
        return
    window: deque[tuple[int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(workers, "integrity") as executor:
        try:
            for piece in pieces:
                task = executor.submit(_digest, file, piece, piece_size, covered, cancel)
                window.append((piece, task))
                if len(window) > 2 * workers:
                    number, task = window.popleft()
                    yield number, task.result()
            while window:
                number, task = window.popleft()
                yield number, task.result()
        finally:
            for _, task in window:
                task.cancel()


def _digest(
    file: FileBytes, piece: int, piece_size: int, covered: int, cancel: CancelToken | None
) -> bytes:
    sha1 = hashlib.sha1(usedforsecurity=False)
    start = piece * piece_size
    end = min(start + piece_size, covered)
    for position in range(start, end, _READ_NBYTES):
        if cancel is not None:
            cancel.check()
        size = min(_READ_NBYTES, end - position)
        sha1.update(file.read(HEADER_NBYTES + position, size, "integrity-covered data"))
    return sha1.digest()
