"""Where the bytes of a blob come from: memory, a file, or the archive itself."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from wimtui.engine.errors import ReadFailedError, WriteFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.image.blobs import Blobs
    from wimtui.engine.progress import CancelToken
    from wimtui.engine.tree import OpenFile

PIECE_NBYTES = 1 << 20
"""Bytes read at a time."""


class MemorySource:
    """Bytes in memory; its own open file."""

    __slots__ = ("_data", "_shown_path")

    def __init__(self, data: bytes, shown_path: Callable[[], str] = str) -> None:
        """Take the bytes; ``shown_path`` is asked when somebody watches."""
        self._data = data
        self._shown_path = shown_path

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self._data)

    def shown_path(self) -> str:
        """Return which file it is of, or nothing."""
        return self._shown_path()

    def open(self) -> OpenFile:
        """Return itself."""
        return self

    def read(self, offset: int, size: int) -> bytes:
        """Return a slice."""
        return self._data[offset : offset + size]

    read_nowait = read

    def close(self) -> None:
        """Do nothing."""


class _DiskFile:
    """A file of the host, open for reading."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise ReadFailedError(f"cannot open: {error.strerror}", path=path) from error

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes."""
        try:
            return os.pread(self._fd, size, offset)
        except OSError as error:
            raise ReadFailedError(f"cannot read: {error.strerror}", path=self._path) from error

    read_nowait = read

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class FileSource:
    """A regular file of the host, of a size known before."""

    __slots__ = ("_shown_path", "_size", "path")

    def __init__(self, path: str, size: int, shown_path: Callable[[], str] | None = None) -> None:
        """Read ``path``; ``shown_path`` is asked when somebody watches, if it is another."""
        self.path = path
        self._size = size
        self._shown_path = shown_path

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._size

    def shown_path(self) -> str:
        """Return which file it is of."""
        return self.path if self._shown_path is None else self._shown_path()

    def open(self) -> OpenFile:
        """Open the file; a symbolic link is not followed. Raises ReadFailedError."""
        return _DiskFile(self.path)


class StoredSource:
    """A blob that the archive or a file it refers to holds."""

    __slots__ = ("_blobs", "_path_of", "_sha1", "_size")

    def __init__(
        self, blobs: Blobs, sha1: bytes, size: int, path_of: Callable[[bytes], str]
    ) -> None:
        """Read a blob; ``path_of`` says when somebody watches which file has it."""
        self._blobs = blobs
        self._sha1 = sha1
        self._size = size
        self._path_of = path_of

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._size

    def shown_path(self) -> str:
        """Return which file it is of, or nothing."""
        return self._path_of(self._sha1)

    def open(self) -> OpenFile:
        """Open the blob."""
        return self._blobs.open(self._sha1)


def pieces(source: BlobSource, piece_nbytes: int, cancel: CancelToken | None) -> Iterator[bytes]:
    """Yield all bytes of a source in pieces of ``piece_nbytes``, the last one shorter.

    Raises:
        WriteFailedError: It has fewer bytes than it says.
        CancelledError: ``cancel`` was used.
    """
    file = source.open()
    try:
        offset = 0
        while offset < source.size:
            if cancel is not None:
                cancel.check()
            wanted = min(piece_nbytes, source.size - offset)
            data = file.read(offset, wanted)
            while len(data) < wanted:
                more = file.read(offset + len(data), wanted - len(data))
                if not more:
                    raise changed_while_read(source)
                data += more
            yield data
            offset += wanted
    finally:
        file.close()


def changed_while_read(source: BlobSource) -> WriteFailedError:
    """Return the error for data that is not what it was a moment ago."""
    return WriteFailedError(
        "the data changed while it was being saved",
        path=getattr(source, "path", None),
        hint="try again when nothing writes it",
    )


def sha1_of(source: BlobSource, cancel: CancelToken | None = None) -> bytes:
    """Return the SHA-1 of all bytes."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    for piece in pieces(source, PIECE_NBYTES, cancel):
        sha1.update(piece)
    return sha1.digest()
