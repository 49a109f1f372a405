"""XPRESS (LZ77 and Huffman, one block a chunk): decoder and item encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tests.reference.bits import BitsLE16, Malformed, copy_match
from tests.reference.huffman import build_decode, codewords, limited_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

# ("l", byte) | ("m", length, offset)
XpressItem = tuple[Literal["l"], int] | tuple[Literal["m"], int, int]


def _long_length(bits: BitsLE16) -> int:
    header = 15 + bits.byte()
    if header == 15 + 255:
        header = bits.byte()
        header |= bits.byte() << 8
    return header


def xpress_decompress(source: bytes, uncompressed_size: int) -> bytes:
    if len(source) < 256:
        raise Malformed("header")
    lengths: list[int] = []
    for pair in source[:256]:
        lengths += [pair & 15, pair >> 4]
    table = build_decode(lengths, 15)
    bits = BitsLE16(source, 256)
    out = bytearray()
    while len(out) < uncompressed_size:
        bits.need(16)
        symbol = bits.symbol(table, 15)
        if symbol < 256:
            out.append(symbol)
            continue
        bits.need(16)  # 16..31 bits in hand: raw bytes follow from here
        header = symbol & 15
        offset_class = symbol - 256 >> 4
        if header == 15:
            header = _long_length(bits)
        offset = (1 << offset_class) + bits.read(offset_class)
        copy_match(out, offset, header + 3, uncompressed_size)
    return bytes(out)


class XpressOut:
    """Writer that mirrors the decoder's look-ahead: two unit slots are reserved in advance."""

    def __init__(self) -> None:
        self.out = bytearray(4)
        self.slot1 = 0
        self.slot2 = 2
        self.buffer = 0
        self.pending = 0

    def bits(self, value: int, count: int) -> None:
        """Write at most 16 bits."""
        self.buffer = self.buffer << count | value
        self.pending += count
        if self.pending > 16:
            self.pending -= 16
            unit = self.buffer >> self.pending & 0xFFFF
            self.out[self.slot1 : self.slot1 + 2] = unit.to_bytes(2, "little")
            self.slot1 = self.slot2
            self.slot2 = len(self.out)
            self.out += b"\0\0"
        self.buffer &= (1 << self.pending) - 1

    def byte(self, value: int) -> None:
        self.out.append(value)

    def finish(self) -> bytes:
        unit = self.buffer << 16 - self.pending & 0xFFFF
        self.out[self.slot1 : self.slot1 + 2] = unit.to_bytes(2, "little")
        return bytes(self.out)


def _symbol_of(item: XpressItem) -> int:
    if item[0] == "l":
        return item[1]
    return 256 + (min(item[1] - 3, 15) | item[2].bit_length() - 1 << 4)


def xpress_encode(items: Sequence[XpressItem], end_of_data: bool = True) -> bytes:
    """Encode items as one chunk, with or without the closing symbol 256."""
    frequencies = [0] * 512
    for item in items:
        frequencies[_symbol_of(item)] += 1
    frequencies[256] += end_of_data
    lengths = limited_lengths(frequencies, 15)
    words = codewords(lengths)
    stream = XpressOut()
    for item in items:
        symbol = _symbol_of(item)
        stream.bits(words[symbol], lengths[symbol])
        if item[0] == "m":
            adjusted = item[1] - 3
            offset_class = item[2].bit_length() - 1
            if adjusted >= 15:
                stream.byte(min(adjusted - 15, 255))
                if adjusted - 15 >= 255:
                    stream.byte(adjusted & 255)
                    stream.byte(adjusted >> 8)
            stream.bits(item[2] - (1 << offset_class), offset_class)
    if end_of_data:
        stream.bits(words[256], lengths[256])
    header = bytes(lengths[i] | lengths[i + 1] << 4 for i in range(0, 512, 2))
    return header + stream.finish()
