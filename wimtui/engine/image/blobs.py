"""Where an image's streams come from: blobs by SHA-1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wimtui.engine.tree import OpenFile

ZERO_SHA1: Final = bytes(20)
"""Stands for an empty stream; no blob has it."""

EMPTY_SHA1: Final = bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709")
"""SHA-1 of no bytes; writers should not store it, and some did."""


class Blobs(Protocol):
    """The blobs that an archive and the files it refers to hold."""

    def size(self, sha1: bytes) -> int | None:
        """Return the uncompressed size in bytes, or None where the blob is missing."""
        ...

    def stored_size(self, sha1: bytes) -> int:
        """Return the bytes it takes in its file; 0 where the blob is missing."""
        ...

    def open(self, sha1: bytes) -> OpenFile:
        """Open the blob for reading. Raises MissingBlobError."""
        ...

    def load_ahead(self, hashes: Sequence[bytes], is_wanted: Callable[[], bool]) -> None:
        """Have small blobs decoded that will be opened soon; returns at once.

        ``is_wanted`` is asked before each blob begins. Errors are left for the reader to meet.
        """
        ...

    def absent(self, hashes: bytes) -> bytes:
        """Return those of many hashes (20 bytes each, without separator) that no file has."""
        ...

    def read_all(self, sha1: bytes, max_size: int) -> bytes:
        """Return the whole blob, which may block.

        Raises:
            MissingBlobError: No file given has it.
            LimitError: It is larger than ``max_size`` bytes.
        """
        ...


class EmptyFile:
    """An open file of no bytes."""

    __slots__ = ()

    def read_nowait(self, offset: int, size: int) -> bytes:
        """Return no bytes."""
        return b""

    def read(self, offset: int, size: int) -> bytes:
        """Return no bytes."""
        return b""

    def close(self) -> None:
        """Do nothing."""


def is_empty(sha1: bytes, blobs: Blobs) -> bool:
    """Return whether a hash stands for an empty stream."""
    return sha1 == ZERO_SHA1 or (sha1 == EMPTY_SHA1 and blobs.size(sha1) is None)
