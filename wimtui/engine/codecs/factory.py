"""Codec objects by codec number, and a pool that hands idle ones to threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, assert_never

from wimtui.engine.codecs.base import CodecId

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.codecs.base import Compressor, Decompressor


def open_decompressor(codec: CodecId, block_size: int) -> Decompressor:
    """Return a decompressor for blocks of up to ``block_size`` uncompressed bytes.

    Raises:
        ValueError: The codec is NONE, or cannot have that block size.
    """
    match codec:
        case CodecId.XPRESS:
            from wimtui.engine.codecs._xpress_decompress import XpressDecompressor

            return XpressDecompressor(block_size)
        case CodecId.LZX:
            from wimtui.engine.codecs._lzx_decompress import LzxDecompressor

            return LzxDecompressor(block_size)
        case CodecId.LZMS:
            from wimtui.engine.codecs._lzms_decompress import LzmsDecompressor

            return LzmsDecompressor(block_size)
        case CodecId.NONE:
            raise ValueError("uncompressed data needs no decompressor")
    assert_never(codec)


def open_compressor(codec: CodecId, block_size: int, level: int) -> Compressor:
    """Return a compressor for blocks of up to ``block_size`` bytes; a higher level is slower.

    Raises:
        ValueError: The codec is NONE, or cannot have that block size or level.
    """
    match codec:
        case CodecId.XPRESS:
            from wimtui.engine.codecs._xpress_compress import XpressCompressor

            return XpressCompressor(block_size, level)
        case CodecId.LZX:
            from wimtui.engine.codecs._lzx_compress import LzxCompressor

            return LzxCompressor(block_size, level)
        case CodecId.LZMS:
            from wimtui.engine.codecs._lzms_compress import LzmsCompressor

            return LzmsCompressor(block_size, level)
        case CodecId.NONE:
            raise ValueError("uncompressed data needs no compressor")
    assert_never(codec)


class DecompressorPool:
    """Idle decompressors by codec and block size. Safe to use from several threads."""

    def __init__(
        self,
        *,
        idle_per_kind: int = 16,
        opener: Callable[[CodecId, int], Decompressor] = open_decompressor,
    ) -> None:
        """Keep at most ``idle_per_kind`` unused objects of each codec and block size."""
        self._idle: dict[tuple[CodecId, int], list[Decompressor]] = {}
        self._idle_per_kind = idle_per_kind
        self._opener = opener
        self._lock = threading.Lock()

    def take(self, codec: CodecId, block_size: int) -> Decompressor:
        """Return a decompressor for the caller alone; ``give_back`` ends the loan."""
        with self._lock:
            idle = self._idle.get((codec, block_size))
            if idle:
                return idle.pop()
        return self._opener(codec, block_size)

    def give_back(self, codec: CodecId, block_size: int, decompressor: Decompressor) -> None:
        """Return an object taken before."""
        with self._lock:
            idle = self._idle.setdefault((codec, block_size), [])
            if len(idle) < self._idle_per_kind:
                idle.append(decompressor)
