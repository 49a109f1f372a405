"""What every codec offers: block decompressors and compressors."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer


class CodecId(IntEnum):
    """The codecs, by the numbers that a solid resource header uses."""

    NONE = 0
    XPRESS = 1
    LZX = 2
    LZMS = 3


class Decompressor(Protocol):
    """Decodes blocks of one codec and maximum size, with its tables allocated once.

    An object serves one thread at a time; the GIL is released while it decodes.
    """

    def decompress(self, source: Buffer, uncompressed_size: int) -> bytes:
        """Return exactly ``uncompressed_size`` bytes.

        Raises:
            CodecError: The block is malformed or truncated.
            ValueError: ``uncompressed_size`` is over the block size of this object.
        """
        ...


class Compressor(Protocol):
    """Encodes blocks of one codec, maximum size and level, with its tables allocated once.

    An object serves one thread at a time; the GIL is released while it encodes.
    """

    def compress(self, source: Buffer) -> bytes | None:
        """Return the encoded block, or None where it would not be smaller than ``source``.

        Raises:
            ValueError: ``source`` is over the block size of this object.
        """
        ...
