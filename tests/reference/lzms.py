"""LZMS: decoder, item encoder, and the x86 filter."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Literal

from tests.reference.bits import BitsBack16, BitsOut16, Malformed, copy_match
from tests.reference.huffman import build_decode, codewords, huffman_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

# ("l", byte) | ("m", length, offset) | ("r", length, index)
# | ("d", length, power, raw offset) | ("e", length, delta index)
LzmsItem = (
    tuple[Literal["l"], int]
    | tuple[Literal["m", "r", "e"], int, int]
    | tuple[Literal["d"], int, int, int]
)

_SLOTS_WITH_EXTRA = [
    *(8, 0, 9, 7, 10, 15, 15, 20, 20, 30, 33, 40, 42, 45, 60, 73, 80, 85, 95, 105, 6)
]
LZMS_OFFSET_EXTRA = [
    extra for extra, count in enumerate(_SLOTS_WITH_EXTRA) for _ in range(count)
] + [30]
LZMS_LENGTH_EXTRA = (
    [0] * 26 + [1] * 4 + [2] * 6 + [3] * 4 + [4] * 5 + [5] * 2 + [6, 7, 8, 9, 10, 16, 30]
)
LZMS_OFFSET_BASE = [1 + sum(1 << extra for extra in LZMS_OFFSET_EXTRA[:i]) for i in range(799)]
LZMS_LENGTH_BASE = [1 + sum(1 << extra for extra in LZMS_LENGTH_EXTRA[:i]) for i in range(54)]


def lzms_slot(base: Sequence[int], value: int) -> int:
    return bisect.bisect_right(base, value) - 1


def lzms_num_offset_slots(uncompressed_size: int) -> int:
    if uncompressed_size < 2:
        return 0
    return 1 + lzms_slot(LZMS_OFFSET_BASE, uncompressed_size - 1)


class AdaptiveHuffman:
    """A code that both sides rebuild from what they coded, every ``period`` symbols."""

    def __init__(self, nsymbols: int, period: int) -> None:
        self.nsymbols = nsymbols
        self.period = period
        self.frequencies = [1] * nsymbols
        self.rebuild()

    def rebuild(self) -> None:
        self.lengths = huffman_lengths(self.frequencies) if self.nsymbols > 1 else []
        self.table = build_decode(self.lengths, 15)
        self.words = codewords(self.lengths)
        self.left = self.period

    def count(self, symbol: int) -> None:
        self.frequencies[symbol] += 1
        self.left -= 1
        if self.left == 0:
            self.rebuild()
            self.frequencies = [(frequency >> 1) + 1 for frequency in self.frequencies]

    def decode(self, bits: BitsBack16) -> int:
        symbol = bits.symbol(self.table, 15)
        self.count(symbol)
        return symbol

    def encode(self, stream: BitsOut16, symbol: int) -> None:
        stream.bits(self.words[symbol], self.lengths[symbol])
        self.count(symbol)


class Decision:
    """A class of binary decisions: its own last outcomes, and a probability for each state."""

    def __init__(self, nstates: int) -> None:
        self.mask = nstates - 1
        self.state = 0
        self.zeros = [48] * nstates
        self.history = [0x55555555] * nstates

    def p0(self) -> int:
        """Probability of a 0 bit, in 64ths."""
        return min(max(self.zeros[self.state], 1), 63)

    def update(self, bit: int) -> None:
        state = self.state
        history = self.history[state]
        self.zeros[state] += (history >> 63) - bit
        self.history[state] = (history << 1 | bit) & (1 << 64) - 1
        self.state = (state << 1 | bit) & self.mask


class RangeDecoder:
    """Reads decisions from the front of the chunk; missing units read as zero."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 4
        self.range = 0xFFFFFFFF
        self.code = int.from_bytes(data[0:2], "little") << 16 | int.from_bytes(data[2:4], "little")

    def bit(self, decision: Decision) -> int:
        if self.range < 1 << 16:
            unit = int.from_bytes(self.data[self.position : self.position + 2], "little")
            self.range <<= 16
            self.code = self.code << 16 | unit
            self.position += 2
        bound = (self.range >> 6) * decision.p0()
        bit = int(self.code >= bound)
        if bit:
            self.range -= bound
            self.code -= bound
        else:
            self.range = bound
        decision.update(bit)
        return bit


class RangeEncoder:
    """Writes decisions; units of all ones wait until a carry can no longer reach them."""

    def __init__(self) -> None:
        self.low = 0
        self.range = 0xFFFFFFFF
        self.out: list[int] = []
        self.cache: int | None = None
        self.pending = 0

    def shift(self) -> None:
        carry = self.low >> 32
        top = self.low >> 16 & 0xFFFF
        if carry or top != 0xFFFF:
            if self.cache is not None:
                self.out.append(self.cache + carry & 0xFFFF)
            self.out += [0xFFFF + carry & 0xFFFF] * self.pending
            self.pending = 0
            self.cache = top
        else:
            self.pending += 1
        self.low = (self.low & 0xFFFF) << 16

    def bit(self, decision: Decision, bit: int) -> None:
        if self.range < 1 << 16:
            self.range <<= 16
            self.shift()
        bound = (self.range >> 6) * decision.p0()
        if bit:
            self.low += bound
            self.range -= bound
        else:
            self.range = bound
        decision.update(bit)

    def finish(self) -> list[int]:
        """All units of the stream."""
        self.shift()
        self.shift()
        cached = [] if self.cache is None else [self.cache]
        return self.out + cached + [0xFFFF] * self.pending


class LzmsModel:
    """Everything that adapts while a chunk is coded."""

    def __init__(self, uncompressed_size: int) -> None:
        nslots = lzms_num_offset_slots(uncompressed_size)
        self.literal = AdaptiveHuffman(256, 1024)
        self.offset = AdaptiveHuffman(nslots, 1024)
        self.length = AdaptiveHuffman(54, 512)
        self.delta_offset = AdaptiveHuffman(nslots, 1024)
        self.delta_power = AdaptiveHuffman(8, 512)
        self.main = Decision(16)
        self.match = Decision(32)
        self.lz = Decision(64)
        self.delta = Decision(64)
        self.lz_repeat = [Decision(64), Decision(64)]
        self.delta_repeat = [Decision(64), Decision(64)]


class _Decoder:
    def __init__(self, source: bytes, uncompressed_size: int) -> None:
        self.ranges = RangeDecoder(source)
        self.bits = BitsBack16(source)
        self.model = LzmsModel(uncompressed_size)
        self.uncompressed_size = uncompressed_size
        self.offsets = [1, 2, 3, 4]
        self.deltas = [(0, 1), (0, 2), (0, 3), (0, 4)]
        self.previous = "literal"
        self.out = bytearray()

    def item(self) -> None:
        if not self.ranges.bit(self.model.main):
            self.out.append(self.model.literal.decode(self.bits))
            self.previous = "literal"
        elif self.ranges.bit(self.model.match):
            self.delta_match()
        else:
            self.lz_match()

    def lz_match(self) -> None:
        if self.ranges.bit(self.model.lz):
            index = self.repeat_index(self.model.lz_repeat) + (self.previous == "lz")
            self.offsets.insert(0, self.offsets.pop(index))
        else:
            self.offsets = [self.explicit_offset(self.model.offset), *self.offsets[:3]]
        self.previous = "lz"
        copy_match(self.out, self.offsets[0], self.match_length(), self.uncompressed_size)

    def delta_match(self) -> None:
        if self.ranges.bit(self.model.delta):
            index = self.repeat_index(self.model.delta_repeat) + (self.previous == "delta")
            self.deltas.insert(0, self.deltas.pop(index))
        else:
            power = self.model.delta_power.decode(self.bits)
            raw = self.explicit_offset(self.model.delta_offset)
            self.deltas = [(power, raw), *self.deltas[:3]]
        self.previous = "delta"
        power, raw = self.deltas[0]
        self.copy_delta(1 << power, raw << power, self.match_length())

    def repeat_index(self, decisions: list[Decision]) -> int:
        index = 0
        while index < 2 and self.ranges.bit(decisions[index]):
            index += 1
        return index

    def explicit_offset(self, code: AdaptiveHuffman) -> int:
        slot = code.decode(self.bits)
        return LZMS_OFFSET_BASE[slot] + self.bits.read(LZMS_OFFSET_EXTRA[slot])

    def match_length(self) -> int:
        slot = self.model.length.decode(self.bits)
        return LZMS_LENGTH_BASE[slot] + self.bits.read(LZMS_LENGTH_EXTRA[slot])

    def copy_delta(self, span: int, offset: int, length: int) -> None:
        out = self.out
        if offset + span > len(out) or length > self.uncompressed_size - len(out):
            raise Malformed("delta match")
        for _ in range(length):
            out.append(out[-offset] + out[-span] - out[-offset - span] & 255)


def lzms_decompress(source: bytes, uncompressed_size: int) -> bytes:
    if len(source) & 1 or len(source) < 4:
        raise Malformed("size")
    decoder = _Decoder(source, uncompressed_size)
    while len(decoder.out) < uncompressed_size:
        decoder.item()
    lzms_x86(decoder.out, undo=True)
    return bytes(decoder.out)


def _x86_opcode(buffer: bytearray, i: int) -> tuple[int, int]:
    """Size of the translated opcode at ``i`` (0: none), and how far its predecessor may be."""
    first, second, third = buffer[i], buffer[i + 1], buffer[i + 2]
    if first == 0xE8:
        return 1, 511
    if first in (0x48, 0x4C) and third & 7 == 5:
        is_lea = second == 0x8D
        is_mov = second == 0x8B and first == 0x48 and third & 0xF0 == 0
        return (3 if is_lea or is_mov else 0), 1023
    if first == 0xFF and second == 0x15:
        return 2, 1023
    if first == 0xF0 and second == 0x83 and third == 0x05:
        return 3, 1023
    return 0, 0


def lzms_x86(buffer: bytearray, undo: bool) -> None:
    """Translate the relative displacements of x86 code in place."""
    size = len(buffer)
    if size <= 17:
        return
    usage = [-65536] * 65536
    last = -1024
    i = 1
    while i < size - 16:
        if buffer[i] == 0xE9:
            i += 5
            continue
        opcode_size, max_distance = _x86_opcode(buffer, i)
        if not opcode_size:
            i += 1
            continue
        position = i + opcode_size
        end = position + 3
        value = int.from_bytes(buffer[position : position + 4], "little")
        translate = i - last <= max_distance
        if undo and translate:
            value = value - i & 0xFFFFFFFF
        target = i + value & 0xFFFF
        if translate:
            stored = value if undo else value + i & 0xFFFFFFFF
            buffer[position : position + 4] = stored.to_bytes(4, "little")
        if end - usage[target] <= 65535:
            last = end
        usage[target] = end
        i = end + 1


class _Encoder:
    def __init__(self, uncompressed_size: int) -> None:
        self.ranges = RangeEncoder()
        self.stream = BitsOut16()
        self.model = LzmsModel(uncompressed_size)

    def item(self, item: LzmsItem) -> None:
        model, bit = self.model, self.ranges.bit
        bit(model.main, int(item[0] != "l"))
        if item[0] == "l":
            model.literal.encode(self.stream, item[1])
            return
        bit(model.match, int(item[0] in ("d", "e")))
        if item[0] == "m":
            bit(model.lz, 0)
            self.explicit_offset(model.offset, item[2])
        elif item[0] == "r":
            bit(model.lz, 1)
            self.repeat_index(model.lz_repeat, item[2])
        elif item[0] == "d":
            bit(model.delta, 0)
            model.delta_power.encode(self.stream, item[2])
            self.explicit_offset(model.delta_offset, item[3])
        else:
            bit(model.delta, 1)
            self.repeat_index(model.delta_repeat, item[2])
        slot = lzms_slot(LZMS_LENGTH_BASE, item[1])
        model.length.encode(self.stream, slot)
        self.stream.bits(item[1] - LZMS_LENGTH_BASE[slot], LZMS_LENGTH_EXTRA[slot])

    def explicit_offset(self, code: AdaptiveHuffman, value: int) -> None:
        slot = lzms_slot(LZMS_OFFSET_BASE, value)
        code.encode(self.stream, slot)
        self.stream.bits(value - LZMS_OFFSET_BASE[slot], LZMS_OFFSET_EXTRA[slot])

    def repeat_index(self, decisions: list[Decision], index: int) -> None:
        for decision in decisions[:index]:
            self.ranges.bit(decision, 1)
        if index < 2:
            self.ranges.bit(decisions[index], 0)


def lzms_encode(items: Sequence[LzmsItem], uncompressed_size: int) -> bytes:
    """Encode items as one chunk. The data they describe is what stands before x86 is undone."""
    encoder = _Encoder(uncompressed_size)
    for item in items:
        encoder.item(item)
    back = encoder.stream.finish()
    front = b"".join(unit.to_bytes(2, "little") for unit in encoder.ranges.finish())
    return front + b"".join(back[i : i + 2] for i in range(len(back) - 2, -1, -2))
