"""Which codec a header names, and the chunk sizes each codec can have."""

from __future__ import annotations

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container.flags import HeaderFlag
from wimtui.engine.errors import ChunkSizeError, CompressionTypeError

CHUNK_SIZES = {
    CodecId.XPRESS: (1 << 12, 1 << 16),
    CodecId.LZX: (1 << 15, 1 << 21),
    CodecId.LZMS: (1 << 15, 1 << 30),
}
"""Smallest and largest chunk size of each codec; only powers of two between them are valid."""

DEFAULT_CHUNK_SIZE = 1 << 15
"""What a chunk size of 0 means in an XPRESS or LZX file: some old writers leave the field empty."""

CODEC_FLAGS = {
    CodecId.NONE: HeaderFlag(0),
    CodecId.XPRESS: HeaderFlag.COMPRESSION | HeaderFlag.COMPRESS_XPRESS,
    CodecId.LZX: HeaderFlag.COMPRESSION | HeaderFlag.COMPRESS_LZX,
    CodecId.LZMS: HeaderFlag.COMPRESSION | HeaderFlag.COMPRESS_LZMS,
}
"""The header flags that a writer sets for each codec."""


def codec_from_flags(flags: HeaderFlag, *, path: str) -> CodecId:
    """Return the codec that header flags name; the first of LZX, XPRESS, LZMS wins.

    Raises:
        CompressionTypeError: COMPRESSION is set and no known codec is.
    """
    if not flags & HeaderFlag.COMPRESSION:
        return CodecId.NONE
    if flags & HeaderFlag.COMPRESS_LZX:
        return CodecId.LZX
    if flags & (HeaderFlag.COMPRESS_XPRESS | HeaderFlag.COMPRESS_XPRESS_2):
        return CodecId.XPRESS
    if flags & HeaderFlag.COMPRESS_LZMS:
        return CodecId.LZMS
    raise CompressionTypeError(
        f"unknown compression type (header flags {int(flags):#010x})",
        path=path,
        structure="header",
        offset_in_file=16,
    )


def effective_chunk_size(codec: CodecId, chunk_size: int, *, path: str) -> int:
    """Return the chunk size that a header means.

    An uncompressed file has none whatever the field says; 0 in an XPRESS or LZX file is 32768.

    Raises:
        ChunkSizeError: The codec cannot have that size.
    """
    if codec is CodecId.NONE:
        return 0
    if chunk_size == 0 and codec is not CodecId.LZMS:
        return DEFAULT_CHUNK_SIZE
    check_chunk_size(codec, chunk_size, path=path, structure="header", offset_in_file=20)
    return chunk_size


def check_chunk_size(
    codec: CodecId, chunk_size: int, *, path: str, structure: str, offset_in_file: int
) -> None:
    """Refuse a chunk size that the codec cannot have.

    Raises:
        ChunkSizeError: Not a power of two, or outside CHUNK_SIZES.
    """
    smallest, largest = CHUNK_SIZES[codec]
    if not smallest <= chunk_size <= largest or chunk_size & (chunk_size - 1):
        raise ChunkSizeError(
            f"unsupported chunk size {chunk_size} for {codec.name}",
            path=path,
            structure=structure,
            offset_in_file=offset_in_file,
        )
