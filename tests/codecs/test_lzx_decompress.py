from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.bits import BitsOut16, Malformed, copy_match
from tests.reference.generators import random_bytes, x86
from tests.reference.lzx import (
    LZX_BASE,
    LzxBlock,
    LzxItem,
    lzx_decompress,
    lzx_e8,
    lzx_encode,
    lzx_order,
    lzx_slots,
    write_block_header,
    write_lengths,
)
from wimtui.engine.codecs._lzx_decompress import LzxDecompressor
from wimtui.engine.codecs.errors import CodecError

BLOCK_SIZES = [1 << order for order in range(15, 22)]
GUARD = b"\xa5" * 64
DECOMPRESSORS = {block_size: LzxDecompressor(block_size) for block_size in BLOCK_SIZES}


class Stream:
    """Grows a valid chunk item by item, following what the items mean without any coding."""

    def __init__(self, seed: int, block_size: int) -> None:
        self.random = random.Random(seed)
        self.block_size = block_size
        self.out = bytearray()
        self.recent = [1, 1, 1]
        alphabet_size = self.random.choice((1, 3, 40, 256))
        self.alphabet = bytes(self.random.randrange(256) for _ in range(alphabet_size)) + b"\xe8"
        self.match_share = self.random.choice((0.05, 0.5, 0.9))

    @property
    def room(self) -> int:
        return self.block_size - len(self.out)

    def literal(self) -> LzxItem:
        byte = self.random.choice(self.alphabet)
        self.out.append(byte)
        return ("l", byte)

    def match(self) -> LzxItem:
        length = min(self.random.randint(2, self.random.choice((8, 8, 20, 257))), self.room)
        index = self.random.randrange(5)
        item: LzxItem
        if index < 3 and self.recent[index] <= len(self.out):
            offset = self.recent[index]
            self.recent[index] = self.recent[0]
            self.recent[0] = offset
            item = ("r", length, index)
        else:
            farthest = min(len(self.out), self.block_size - 3)
            nearest = min(self.random.choice((1, 4, 20, 300, farthest)), farthest)
            offset = self.random.randint(1, nearest)
            self.recent = [offset, *self.recent[:2]]
            item = ("m", length, offset)
        copy_match(self.out, offset, length, self.block_size)
        return item

    def coded_block(self, count: int) -> LzxBlock:
        items: list[LzxItem] = []
        while len(items) < count and self.room >= 2:
            may_match = self.out and self.random.random() < self.match_share
            items.append(self.match() if may_match else self.literal())
        kind = self.random.choice((1, 2))
        return (1, items) if kind == 1 else (2, items)

    def raw_block(self, size: int) -> LzxBlock:
        data = self.random.randbytes(min(size, self.room))
        offsets = [self.random.choice((1, 5, 2**20, 2**31 + 7, 2**32 - 1)) for _ in range(3)]
        self.recent = offsets
        self.out += data
        return ("raw", data, (offsets[0], offsets[1], offsets[2]))

    def blocks(self, nblocks: int, nitems: int) -> list[LzxBlock]:
        made: list[LzxBlock] = []
        for _ in range(nblocks):
            if self.room < 2:
                break
            if self.random.random() < 0.25:
                made.append(self.raw_block(self.random.randint(1, 300)))
            else:
                made.append(self.coded_block(self.random.randint(1, nitems)))
        return made

    def data(self) -> bytes:
        """What the chunk decodes to."""
        decoded = bytearray(self.out)
        lzx_e8(decoded, undo=True)
        return bytes(decoded)


def verdict(source: bytes, uncompressed_size: int, block_size: int) -> bytes | None:
    """The kernel's output, or None for a CodecError; nothing may be written past the output."""
    room = bytearray(b"\0" * uncompressed_size + GUARD)
    try:
        output = memoryview(room)[:uncompressed_size]
        DECOMPRESSORS[block_size].decompress_into(source, output)
    except CodecError:
        return None
    finally:
        assert room[uncompressed_size:] == GUARD
    return bytes(room[:uncompressed_size])


def reference_verdict(source: bytes, uncompressed_size: int, block_size: int) -> bytes | None:
    try:
        return lzx_decompress(source, uncompressed_size, block_size)
    except Malformed:
        return None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(BLOCK_SIZES), st.integers(1, 4), st.integers(1, 1500))
def test_random_items_decode(seed: int, block_size: int, nblocks: int, nitems: int) -> None:
    stream = Stream(seed, block_size)
    source = lzx_encode(stream.blocks(nblocks, nitems), block_size)
    data = stream.data()
    assert lzx_decompress(source, len(data), block_size) == data
    assert DECOMPRESSORS[block_size].decompress(source, len(data)) == data
    assert verdict(source, len(data), block_size) == data


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(BLOCK_SIZES), st.data())
def test_corrupt_chunks_get_the_verdict_of_the_reference(
    seed: int, block_size: int, data: st.DataObject
) -> None:
    stream = Stream(seed, block_size)
    source = bytearray(lzx_encode(stream.blocks(2, 400), block_size))
    for _ in range(data.draw(st.integers(0, 3))):
        bit = data.draw(st.integers(0, 8 * len(source) - 1))
        source[bit // 8] ^= 1 << bit % 8
    if data.draw(st.booleans()):
        del source[data.draw(st.integers(0, len(source))) :]
    size = min(block_size, max(0, len(stream.out) + data.draw(st.integers(-40, 40))))
    other = data.draw(st.sampled_from([block_size, block_size, BLOCK_SIZES[0]]))
    size = min(size, other)
    assert verdict(bytes(source), size, other) == reference_verdict(bytes(source), size, other)


@pytest.mark.parametrize("tail", range(40))
def test_every_input_tail_is_read_to_its_end(tail: int) -> None:
    stream = Stream(tail, 32768)
    source = lzx_encode([stream.coded_block(300 + tail)], 32768)
    data = stream.data()
    assert DECOMPRESSORS[32768].decompress(source, len(data)) == data
    for cut in range(1, 20):
        short = source[:-cut]
        assert verdict(short, len(data), 32768) == reference_verdict(short, len(data), 32768)


@pytest.mark.parametrize("offset", range(1, 40))
@pytest.mark.parametrize("length", [2, 8, 9, 15, 16, 17, 33, 200])
def test_every_overlap(offset: int, length: int) -> None:
    items: list[LzxItem] = [("l", byte) for byte in random_bytes(offset, 60)]
    items += [("m", length, offset), *(("l", byte) for byte in random_bytes(1, 60))]
    expected = bytearray(random_bytes(offset, 60))
    copy_match(expected, offset, length, 1000)
    expected += random_bytes(1, 60)
    lzx_e8(expected, undo=True)
    both: list[LzxBlock] = [(1, items), (2, items)]
    for block in both:
        source = lzx_encode([block], 32768)
        assert DECOMPRESSORS[32768].decompress(source, 120 + length) == expected


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_every_offset_slot(block_size: int) -> None:
    """A match at the first, a middle and the last offset of each slot of the window."""
    slots = lzx_slots(lzx_order(block_size))
    ends = [*LZX_BASE[4:slots], block_size - 2]
    offsets: list[int] = []
    for first, end in zip(LZX_BASE[3:slots], ends, strict=True):
        offsets += [first, (first + end) // 2, end - 1]
    size = block_size - 3 * len(offsets)
    raw = random_bytes(3, 4096) * (size // 4096 + 1)
    reachable = [offset for offset in offsets if offset <= size]
    items: list[LzxItem] = [("m", 3, offset) for offset in reachable]
    expected = bytearray(raw[:size])
    for offset in reachable:
        copy_match(expected, offset, 3, block_size)
    lzx_e8(expected, undo=True)
    both: list[LzxBlock] = [(1, items), (2, items)]
    for block in both:
        source = lzx_encode([("raw", raw[:size], (1, 1, 1)), block], block_size)
        assert DECOMPRESSORS[block_size].decompress(source, len(expected)) == expected


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 12, 15, 16, 20, 1000, 32768])
def test_calls_are_translated_back(size: int) -> None:
    original = x86(size + 1, size)
    translated = bytearray(original)
    lzx_e8(translated, undo=False)
    source = lzx_encode([("raw", bytes(translated), (1, 1, 1))], 32768) if size else b""
    assert DECOMPRESSORS[32768].decompress(source, size) == original


@pytest.mark.parametrize("block_size", [32768, 2097152])
def test_length_symbol_of_an_empty_length_code_is_refused(block_size: int) -> None:
    """The main code has a symbol for long matches, but the block gives no length code."""
    order = lzx_order(block_size)
    long_match = 256 + 7
    nmain = 256 + 8 * lzx_slots(order)
    lengths = [int(symbol in (65, long_match)) for symbol in range(nmain)]
    stream = BitsOut16()
    write_block_header(stream, 1, block_size - 1, order)
    write_lengths(stream, lengths[:256], [0] * 256)
    write_lengths(stream, lengths[256:], [0] * (nmain - 256))
    write_lengths(stream, [0] * 249, [0] * 249)
    stream.bits(0b00001, 5)  # four literals, then the long match
    stream.bits(0, 64)
    stream.bits(0, 64)
    source = stream.finish()
    assert reference_verdict(source, block_size - 1, block_size) is None
    with pytest.raises(CodecError, match=r"empty code \(after 4 of"):
        DECOMPRESSORS[block_size].decompress(source, block_size - 1)


def test_codes_do_not_outlive_their_chunk() -> None:
    """A chunk's lengths are deltas to zero whatever the object decoded, or refused, before."""
    stream = Stream(3, 32768)
    source = lzx_encode(stream.blocks(3, 800), 32768)
    decompressor = LzxDecompressor(32768)
    for _ in range(3):
        assert decompressor.decompress(source, len(stream.out)) == stream.data()
        with pytest.raises(CodecError):
            decompressor.decompress(source[:60], 32768)


def test_error_names_reason_and_position() -> None:
    items: list[LzxItem] = [("l", 65), ("l", 66), ("m", 5, 9)]
    source = lzx_encode([(1, items)], 32768)
    with pytest.raises(CodecError, match=r"before the start of the chunk \(after 2 of 7 bytes\)"):
        DECOMPRESSORS[32768].decompress(source, 7)


@pytest.mark.parametrize("block_size", [0, 16384, 32769, 49152, 4194304, -32768])
def test_block_size_is_checked(block_size: int) -> None:
    with pytest.raises(ValueError, match="block size"):
        LzxDecompressor(block_size)


@pytest.mark.parametrize("size", [-1, 32769])
def test_uncompressed_size_is_checked(size: int) -> None:
    with pytest.raises(ValueError, match="uncompressed size"):
        LzxDecompressor(32768).decompress(b"", size)


def test_destination_must_be_writable() -> None:
    with pytest.raises(BufferError):
        DECOMPRESSORS[32768].decompress_into(b"", b"read only")


def test_two_threads_cannot_share_an_object() -> None:
    """Every call either decodes rightly or is refused, and both happen."""
    stream = Stream(12, 32768)
    source = lzx_encode([stream.coded_block(2000)], 32768)
    data = stream.data()
    shared = LzxDecompressor(32768)
    outcomes: list[bool] = []
    stop = threading.Event()

    def decode() -> None:
        while not stop.is_set():
            try:
                outcomes.append(shared.decompress(source, len(data)) == data)
            except RuntimeError as error:
                assert "another thread" in str(error)  # noqa: PT017
                stop.set()

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    stopped = stop.wait(60)
    stop.set()
    for thread in threads:
        thread.join()
    assert stopped, "no call was ever refused"
    assert outcomes
    assert all(outcomes)
