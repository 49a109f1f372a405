"""wimlib's block codecs through its shared library, to be timed beside ours."""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wimtui.engine.codecs.base import CodecId


def load() -> ctypes.CDLL | None:
    """Return the library, or None where it is not installed."""
    name = ctypes.util.find_library("wim")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.wimlib_create_compressor.argtypes = [number, size, ctypes.c_uint, pointer]
    library.wimlib_compress.argtypes = [ctypes.c_char_p, size, pointer, size, pointer]
    library.wimlib_compress.restype = size
    library.wimlib_free_compressor.argtypes = [pointer]
    library.wimlib_create_decompressor.argtypes = [number, size, pointer]
    library.wimlib_decompress.argtypes = [ctypes.c_char_p, size, pointer, size, pointer]
    library.wimlib_free_decompressor.argtypes = [pointer]
    return library


class PeerCompressor:
    """wimlib's compressor for one codec, chunk size and level."""

    def __init__(self, library: ctypes.CDLL, codec: CodecId, chunk_size: int, level: int) -> None:
        self._library = library
        self._handle = ctypes.c_void_p()
        self._room = ctypes.create_string_buffer(chunk_size)
        code = library.wimlib_create_compressor(
            int(codec), chunk_size, level, ctypes.byref(self._handle)
        )
        if code:
            raise RuntimeError(f"wimlib makes no compressor: error {code}")

    def compress(self, source: bytes) -> bytes | None:
        """Return the encoded chunk, or None where it would not be smaller."""
        nbytes = self._library.wimlib_compress(
            source, len(source), self._room, len(source) - 1, self._handle
        )
        return ctypes.string_at(self._room, nbytes) if nbytes else None

    def close(self) -> None:
        """Free it."""
        self._library.wimlib_free_compressor(self._handle)


class PeerDecompressor:
    """wimlib's decompressor for one codec and chunk size."""

    def __init__(self, library: ctypes.CDLL, codec: CodecId, chunk_size: int) -> None:
        self._library = library
        self._handle = ctypes.c_void_p()
        self._room = ctypes.create_string_buffer(chunk_size)
        code = library.wimlib_create_decompressor(
            int(codec), chunk_size, ctypes.byref(self._handle)
        )
        if code:
            raise RuntimeError(f"wimlib makes no decompressor: error {code}")

    def decompress(self, source: bytes, uncompressed_size: int) -> ctypes.Array[ctypes.c_char]:
        """Decode into a buffer that the next call overwrites."""
        code = self._library.wimlib_decompress(
            source, len(source), self._room, uncompressed_size, self._handle
        )
        if code:
            raise RuntimeError(f"wimlib cannot decode a chunk: error {code}")
        return self._room

    def close(self) -> None:
        """Free it."""
        self._library.wimlib_free_decompressor(self._handle)
