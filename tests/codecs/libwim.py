"""wimlib's block codecs through its shared library: the oracle of the compressor tests."""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from wimtui.engine.codecs.base import CodecId


def load() -> ctypes.CDLL | None:
    """Return the library, or None where it is not installed."""
    name = ctypes.util.find_library("wim")
    return ctypes.CDLL(name) if name else None


class OracleDecompressor:
    """wimlib's decompressor for one codec and block size."""

    def __init__(self, library: ctypes.CDLL, codec: CodecId, block_size: int) -> None:
        self._library = library
        self._handle = ctypes.c_void_p()
        library.wimlib_create_decompressor.argtypes = [
            ctypes.c_int,
            ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_void_p),
        ]
        library.wimlib_decompress.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
        ]
        library.wimlib_free_decompressor.argtypes = [ctypes.c_void_p]
        code = library.wimlib_create_decompressor(
            int(codec), block_size, ctypes.byref(self._handle)
        )
        assert code == 0, f"wimlib refuses {codec!r} with {block_size}: error {code}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._library.wimlib_free_decompressor(self._handle)

    def decompress(self, source: bytes, uncompressed_size: int) -> bytes:
        """Return the decoded block; a refusal fails the test."""
        room = ctypes.create_string_buffer(uncompressed_size)
        code = self._library.wimlib_decompress(
            source, len(source), room, uncompressed_size, self._handle
        )
        assert code == 0, f"wimlib cannot decode the block: error {code}"
        return room.raw
