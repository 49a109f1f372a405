"""LZX as WIM uses it: decoder, item encoder, and the E8 filter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tests.reference.bits import BitsLE16, BitsOut16, Malformed, copy_match
from tests.reference.huffman import DecodeTable, build_decode, codewords, limited_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

# ("l", byte) | ("m", length, offset) | ("r", length, recent index)
LzxItem = tuple[Literal["l"], int] | tuple[Literal["m", "r"], int, int]
# ("raw", data, (R0, R1, R2)) | (1 verbatim or 2 aligned, items)
RawBlock = tuple[Literal["raw"], bytes, tuple[int, int, int]]
CodedBlock = tuple[Literal[1, 2], "Sequence[LzxItem]"]
LzxBlock = RawBlock | CodedBlock

LZX_EXTRA = [0] * 4 + [bits for bits in range(1, 17) for _ in (0, 1)] + [17] * 14
# Real offsets; slots 0..2 stand for the recent offsets.
LZX_BASE = [sum(1 << extra for extra in LZX_EXTRA[:slot]) - 2 for slot in range(50)]
E8_FILE_SIZE = 12_000_000
DEFAULT_BLOCK_SIZE = 32768
NUM_LENGTH_SYMBOLS = 249


def lzx_order(chunk_size: int) -> int:
    return max(15, (chunk_size - 1).bit_length())


def lzx_slots(order: int) -> int:
    return (30, 32, 34, 36, 38, 42, 50)[order - 15]


def lzx_e8(buffer: bytearray, undo: bool) -> None:
    """Translate the displacements of x86 calls in place."""
    size = len(buffer)
    i = 0
    while i < size - 10:
        if buffer[i] != 0xE8:
            i += 1
            continue
        value = int.from_bytes(buffer[i + 1 : i + 5], "little", signed=True)
        changed = None
        if undo:
            if 0 <= value < E8_FILE_SIZE:
                changed = value - i
            elif -i <= value < 0:
                changed = value + E8_FILE_SIZE
        elif -i <= value < E8_FILE_SIZE - i:
            changed = value + i
        elif E8_FILE_SIZE - i <= value < E8_FILE_SIZE:
            changed = value - E8_FILE_SIZE
        if changed is not None:
            buffer[i + 1 : i + 5] = (changed & 0xFFFFFFFF).to_bytes(4, "little")
        i += 5


def _read_lengths(bits: BitsLE16, lengths: list[int], low: int, high: int) -> None:
    pretree = build_decode([bits.read(4) for _ in range(20)], 15)
    i = low
    while i < high:
        symbol = bits.symbol(pretree, 15)
        if symbol < 17:
            lengths[i] = (lengths[i] - symbol) % 17
            i += 1
            continue
        if symbol == 17:
            run, value = 4 + bits.read(4), 0
        elif symbol == 18:
            run, value = 20 + bits.read(5), 0
        else:
            run = 4 + bits.read(1)
            delta = bits.symbol(pretree, 15)
            if delta > 16:
                raise Malformed("symbol after 19")
            value = (lengths[i] - delta) % 17
        if run > high - i:
            raise Malformed("run leaves its array")
        lengths[i : i + run] = [value] * run
        i += run


@dataclass(slots=True)
class _Codes:
    """The codes of one block."""

    main: DecodeTable
    length: DecodeTable
    aligned: DecodeTable
    is_aligned: bool


@dataclass(slots=True)
class _Decoder:
    source: bytes
    uncompressed_size: int
    order: int
    bits: BitsLE16
    main_lengths: list[int]
    length_lengths: list[int] = field(default_factory=lambda: [0] * NUM_LENGTH_SYMBOLS)
    recent: list[int] = field(default_factory=lambda: [1, 1, 1])
    start: int = 0
    out: bytearray = field(default_factory=bytearray)

    def block(self) -> None:
        kind = self.bits.read(3)
        is_default = self.bits.read(1)
        size = DEFAULT_BLOCK_SIZE if is_default else self.bits.read(24 if self.order > 15 else 16)
        if size == 0 or size > self.uncompressed_size - len(self.out):
            raise Malformed("block size")
        if kind == 3:
            self.raw_block(size)
        elif kind in (1, 2):
            self.coded_block(kind == 2, len(self.out) + size)
        else:
            raise Malformed("block type")

    def raw_block(self, size: int) -> None:
        bits = self.bits
        consumed = 8 * (bits.position - self.start) + bits.invented - bits.in_hand
        position = self.start + 2 * (consumed // 16 + 1)
        if position + 12 + size > len(self.source):
            raise Malformed("uncompressed block truncated")
        words = [self.source[position + 4 * k : position + 4 * k + 4] for k in range(3)]
        self.recent = [int.from_bytes(word, "little") for word in words]
        if 0 in self.recent:
            raise Malformed("zero recent offset")
        self.out += self.source[position + 12 : position + 12 + size]
        self.start = min(position + 12 + size + (size & 1), len(self.source))
        self.bits = BitsLE16(self.source, self.start)

    def coded_block(self, is_aligned: bool, end: int) -> None:
        bits = self.bits
        aligned_lengths = [bits.read(3) for _ in range(8)] if is_aligned else []
        _read_lengths(bits, self.main_lengths, 0, 256)
        _read_lengths(bits, self.main_lengths, 256, len(self.main_lengths))
        _read_lengths(bits, self.length_lengths, 0, NUM_LENGTH_SYMBOLS)
        codes = _Codes(
            build_decode(self.main_lengths, 16),
            build_decode(self.length_lengths, 16),
            build_decode(aligned_lengths, 7),
            is_aligned,
        )
        while len(self.out) < end:
            symbol = bits.symbol(codes.main, 16)
            if symbol < 256:
                self.out.append(symbol)
            else:
                self.match(codes, symbol - 256, end)

    def match(self, codes: _Codes, header: int, end: int) -> None:
        length = (header & 7) + 2
        slot = header >> 3
        if length == 9:
            length += self.bits.symbol(codes.length, 16)
        recent = self.recent
        if slot < 3:
            offset = recent[slot]
            recent[slot] = recent[0]
            recent[0] = offset
        else:
            extra = LZX_EXTRA[slot]
            if codes.is_aligned and extra >= 3:
                value = self.bits.read(extra - 3) << 3
                value |= self.bits.symbol(codes.aligned, 7)
            else:
                value = self.bits.read(extra)
            offset = LZX_BASE[slot] + value
            self.recent = [offset, recent[0], recent[1]]
        copy_match(self.out, offset, length, end)


def lzx_decompress(source: bytes, uncompressed_size: int, chunk_size: int) -> bytes:
    order = lzx_order(chunk_size)
    main_lengths = [0] * (256 + 8 * lzx_slots(order))
    decoder = _Decoder(source, uncompressed_size, order, BitsLE16(source), main_lengths)
    while len(decoder.out) < uncompressed_size:
        decoder.block()
    lzx_e8(decoder.out, undo=True)
    return bytes(decoder.out)


def _run_item(run: int, length: int, previous: int) -> tuple[int, int, int, int]:
    """Length-run item (symbol, number of extra bits, extra value, delta) for the head of a run."""
    delta = (previous - length) % 17
    if length == 0 and run >= 20:
        return 18, 5, min(run, 51) - 20, 0
    if length == 0 and run >= 4:
        return 17, 4, min(run, 19) - 4, 0
    if length and run >= 4:
        return 19, 1, min(run, 5) - 4, delta
    return delta, 0, 0, 0


def _run_of(item: tuple[int, int, int, int]) -> int:
    return {17: 4, 18: 20, 19: 4}.get(item[0], 1) + item[2]


def write_lengths(stream: BitsOut16, lengths: Sequence[int], previous: Sequence[int]) -> None:
    items: list[tuple[int, int, int, int]] = []
    i = 0
    while i < len(lengths):
        j = i
        while j < len(lengths) and lengths[j] == lengths[i]:
            j += 1
        items.append(_run_item(j - i, lengths[i], previous[i]))
        i += _run_of(items[-1])
    frequencies = [0] * 20
    for item in items:
        frequencies[item[0]] += 1
        if item[0] == 19:
            frequencies[item[3]] += 1
    pretree_lengths = limited_lengths(frequencies, 15)
    words = codewords(pretree_lengths)
    for length in pretree_lengths:
        stream.bits(length, 4)
    for symbol, extra, value, delta in items:
        stream.bits(words[symbol], pretree_lengths[symbol])
        stream.bits(value, extra)
        if symbol == 19:
            stream.bits(words[delta], pretree_lengths[delta])


@dataclass(frozen=True, slots=True)
class _CodedItem:
    symbol: int
    slot: int
    extra: int
    length: int


def _coded_item(item: LzxItem) -> _CodedItem:
    if item[0] == "l":
        return _CodedItem(item[1], 0, 0, 0)
    _, length, source = item
    if item[0] == "r":
        slot, extra = source, 0
    else:
        slot = max(k for k in range(3, 50) if LZX_BASE[k] <= source)
        extra = source - LZX_BASE[slot]
    return _CodedItem(256 + 8 * slot + min(length - 2, 7), slot, extra, length)


def write_block_header(stream: BitsOut16, kind: int, size: int, order: int) -> None:
    stream.bits(kind, 3)
    if size == DEFAULT_BLOCK_SIZE and not (kind == 3 and order > 15):
        stream.bits(1, 1)
    else:
        stream.bits(0, 1)
        stream.bits(size, 24 if order > 15 else 16)


def _write_raw(stream: BitsOut16, block: RawBlock, order: int) -> None:
    data = block[1]
    write_block_header(stream, 3, len(data), order)
    stream.bits(0, 16 - stream.pending)  # 1..16 bits of padding
    stream.out += b"".join(offset.to_bytes(4, "little") for offset in block[2])
    stream.out += data + b"\0" * (len(data) & 1)


class _BlockWriter:
    """Writes coded blocks; keeps the code lengths that the next block deltas against."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.main_lengths = [0] * (256 + 8 * lzx_slots(order))
        self.length_lengths = [0] * NUM_LENGTH_SYMBOLS

    def write(self, stream: BitsOut16, block: CodedBlock) -> None:
        kind, items = block
        size = sum(1 if item[0] == "l" else item[1] for item in items)
        write_block_header(stream, kind, size, self.order)
        coded = [_coded_item(item) for item in items]
        main, length, aligned = self._code_lengths(coded)
        if kind == 2:
            for bits in aligned:
                stream.bits(bits, 3)
        write_lengths(stream, main[:256], self.main_lengths[:256])
        write_lengths(stream, main[256:], self.main_lengths[256:])
        write_lengths(stream, length, self.length_lengths)
        self.main_lengths, self.length_lengths = main, length
        self._write_items(stream, coded, aligned if kind == 2 else None)

    def _code_lengths(self, coded: list[_CodedItem]) -> tuple[list[int], list[int], list[int]]:
        main = [0] * len(self.main_lengths)
        length = [0] * NUM_LENGTH_SYMBOLS
        aligned = [0] * 8
        for item in coded:
            main[item.symbol] += 1
            if item.length >= 9:
                length[item.length - 9] += 1
            if LZX_EXTRA[item.slot] >= 3:
                aligned[item.extra & 7] += 1
        return limited_lengths(main, 16), limited_lengths(length, 16), limited_lengths(aligned, 7)

    def _write_items(
        self, stream: BitsOut16, coded: list[_CodedItem], aligned: list[int] | None
    ) -> None:
        main_words = codewords(self.main_lengths)
        length_words = codewords(self.length_lengths)
        aligned_words = codewords(aligned or [])
        for item in coded:
            stream.bits(main_words[item.symbol], self.main_lengths[item.symbol])
            if item.length >= 9:
                stream.bits(length_words[item.length - 9], self.length_lengths[item.length - 9])
            extra = LZX_EXTRA[item.slot]
            if aligned is not None and extra >= 3:
                stream.bits(item.extra >> 3, extra - 3)
                stream.bits(aligned_words[item.extra & 7], aligned[item.extra & 7])
            else:
                stream.bits(item.extra, extra)


def lzx_encode(blocks: Sequence[LzxBlock], chunk_size: int) -> bytes:
    """Encode blocks as one chunk. The data they describe is what stands before E8 is undone."""
    order = lzx_order(chunk_size)
    stream = BitsOut16()
    writer = _BlockWriter(order)
    for block in blocks:
        if block[0] == "raw":
            _write_raw(stream, block, order)
        else:
            writer.write(stream, block)
    return stream.finish()
