"""Blobs in a dictionary."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from wimtui.engine.errors import LimitError, MissingBlobError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class BytesFile:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read_nowait(self, offset: int, size: int) -> bytes | None:
        return self.read(offset, size)

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]

    def close(self) -> None:
        pass


class FakeBlobs:
    """Every blob is stored in half its size, rounded up."""

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes] = {}
        self.loaded_ahead: list[bytes] = []
        self.is_wanted: Callable[[], bool] | None = None

    def add(self, data: bytes) -> bytes:
        sha1 = hashlib.sha1(data, usedforsecurity=False).digest()
        self.contents[sha1] = data
        return sha1

    def size(self, sha1: bytes) -> int | None:
        return len(self.contents[sha1]) if sha1 in self.contents else None

    def stored_size(self, sha1: bytes) -> int:
        return (len(self.contents.get(sha1, b"")) + 1) // 2

    def open(self, sha1: bytes) -> BytesFile:
        return BytesFile(self.read_all(sha1, 2**63))

    def load_ahead(self, hashes: Sequence[bytes], is_wanted: Callable[[], bool]) -> None:
        self.loaded_ahead += hashes
        self.is_wanted = is_wanted

    def absent(self, hashes: bytes) -> bytes:
        pieces = (hashes[start : start + 20] for start in range(0, len(hashes), 20))
        return b"".join(piece for piece in pieces if piece not in self.contents)

    def read_all(self, sha1: bytes, max_size: int) -> bytes:
        if sha1 not in self.contents:
            raise MissingBlobError(f"no blob {sha1.hex()}")
        data = self.contents[sha1]
        if len(data) > max_size:
            raise LimitError("too large")
        return data
