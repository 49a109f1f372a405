from __future__ import annotations

import ctypes
import ctypes.util
import os
import random
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.bits import Malformed
from tests.reference.generators import words, x86
from tests.reference.lzms import (
    LZMS_OFFSET_BASE,
    LZMS_OFFSET_EXTRA,
    LzmsItem,
    lzms_decompress,
    lzms_encode,
    lzms_x86,
)
from wimtui.engine.codecs._lzms_decompress import LzmsDecompressor
from wimtui.engine.codecs.errors import CodecError

BLOCK_SIZE = 1 << 17
FAR_BLOCK_SIZE = 1 << 23  # from this size on, copies are put off
GUARD = b"\xa5" * 64
DECOMPRESSOR = LzmsDecompressor(BLOCK_SIZE)
LZMS = 3  # libwim's number of the codec


class Stream:
    """Grows valid items; knows the position and the sources, not the bytes."""

    def __init__(self, seed: int, match_share: float, delta_share: float = 0.3) -> None:
        self.random = random.Random(seed)
        self.match_share = match_share
        self.delta_share = delta_share
        self.alphabet = self.random.randbytes(self.random.choice((1, 3, 40, 256)))
        self.longest = self.random.choice((3, 20, 90, 3000))
        self.items: list[LzmsItem] = []
        self.position = 0
        self.lz = [(0, 1), (0, 2), (0, 3), (0, 4)]
        self.delta = [(0, 1), (0, 2), (0, 3), (0, 4)]
        self.previous = "l"

    def add(self, count: int) -> Stream:
        for _ in range(count):
            if self.random.random() >= self.match_share:
                self.literal()
            elif self.random.random() < self.delta_share:
                self.delta_match()
            else:
                self.lz_match()
        while self.position < 3:  # blocks of 2 bytes or less have no code for offsets
            self.literal()
        return self

    def literal(self) -> None:
        self.items.append(("l", self.random.choice(self.alphabet)))
        self.position += 1
        self.previous = "l"

    def length(self) -> int:
        return self.random.randint(1, self.random.choice((1, 4, 30, self.longest)))

    def repeated(self, queue: list[tuple[int, int]], kind: str) -> int | None:
        """A queue index whose source is within reach, moved to the front; else None."""
        index = self.random.randrange(3)
        entry = queue[index + (self.previous == kind)]
        power, raw = entry
        span = 0 if kind == "lz" else 1 << power
        if (raw << power) + span > self.position:
            return None
        queue.remove(entry) if queue.count(entry) == 1 else queue.pop(
            index + (self.previous == kind)
        )
        queue.insert(0, entry)
        return index

    def lz_match(self, length: int | None = None) -> None:
        length = length or self.length()
        index = self.repeated(self.lz, "lz") if self.random.random() < 0.4 else None
        if index is not None:
            self.items.append(("r", length, index))
        elif self.position == 0:
            self.literal()
            return
        else:
            near = min(self.position, self.random.choice((1, 15, 40, 5000, self.position)))
            offset = self.random.randint(1, near)
            self.items.append(("m", length, offset))
            self.lz = [(0, offset), *self.lz[:3]]
        self.position += length
        self.previous = "lz"

    def delta_match(self) -> None:
        length = self.length()
        index = self.repeated(self.delta, "delta") if self.random.random() < 0.4 else None
        if index is not None:
            self.items.append(("e", length, index))
        else:
            power = self.random.randrange(8)
            farthest = (self.position >> power) - 1
            if farthest < 1:
                self.literal()
                return
            raw = self.random.randint(1, min(farthest, self.random.choice((4, 60, farthest))))
            self.items.append(("d", length, power, raw))
            self.delta = [(power, raw), *self.delta[:3]]
        self.position += length
        self.previous = "delta"

    def encode(self) -> bytes:
        return lzms_encode(self.items, self.position)


def decode_between_guards(
    decompressor: LzmsDecompressor, source: bytes, uncompressed_size: int
) -> bytes:
    """Decode into the middle of a larger buffer, whose edges must stay as they are."""
    buffer = bytearray(GUARD + bytes(uncompressed_size) + GUARD)
    inside = memoryview(buffer)[len(GUARD) : len(GUARD) + uncompressed_size]
    try:
        decompressor.decompress_into(source, inside)
    finally:
        assert buffer[: len(GUARD)] == GUARD
        assert buffer[len(GUARD) + uncompressed_size :] == GUARD
    return bytes(inside)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 300),
    match_share=st.sampled_from((0.1, 0.5, 0.95)),
)
def test_item_streams_decode_like_the_reference(seed: int, count: int, match_share: float) -> None:
    stream = Stream(seed, match_share).add(count)
    source = stream.encode()

    decoded = LzmsDecompressor(1 << 20).decompress(source, stream.position)

    assert decoded == lzms_decompress(source, stream.position)
    assert decode_between_guards(LzmsDecompressor(1 << 20), source, stream.position) == decoded


@pytest.mark.parametrize("seed", range(3))
def test_every_code_is_rebuilt_exactly(seed: int) -> None:
    stream = Stream(seed, match_share=0.75, delta_share=0.5)
    stream.longest = 20
    stream.add(7000)
    kinds = [item[0] for item in stream.items]
    assert min(kinds.count("l"), kinds.count("m"), kinds.count("d")) > 1024
    source = stream.encode()

    decoded = LzmsDecompressor(1 << 20).decompress(source, stream.position)

    assert decoded == lzms_decompress(source, stream.position)


@pytest.mark.slow
@pytest.mark.parametrize("short_by", [0, 17])
def test_large_block_decodes_like_the_reference(short_by: int) -> None:
    stream = Stream(11, match_share=0.7)
    stream.longest = 90
    stream.add(3000)
    stream.lz_match(FAR_BLOCK_SIZE - stream.position - short_by)
    stream.add(3000)
    assert stream.position >= FAR_BLOCK_SIZE
    source = stream.encode()

    decoded = decode_between_guards(LzmsDecompressor(1 << 24), source, stream.position)

    assert decoded == lzms_decompress(source, stream.position)


@pytest.mark.parametrize("uncompressed_size", [*range(1, 20), 40, 100])
def test_all_literal_blocks_of_few_bytes(uncompressed_size: int) -> None:
    block = random.Random(uncompressed_size).randbytes(uncompressed_size)
    source = lzms_encode([("l", byte) for byte in block], uncompressed_size)
    expected = bytearray(block)
    lzms_x86(expected, undo=True)

    decoded = decode_between_guards(DECOMPRESSOR, source, uncompressed_size)

    assert decoded == expected


def test_empty_block_needs_no_source() -> None:
    assert DECOMPRESSOR.decompress(b"", 0) == b""
    DECOMPRESSOR.decompress_into(b"\x01", bytearray())


@pytest.mark.parametrize("uncompressed_size", [1, 2])
def test_explicit_offset_is_rejected_where_there_is_no_code(uncompressed_size: int) -> None:
    # Encoded as for a larger block, where the same decisions lead there.
    literals: list[LzmsItem] = [("l", 7)] * (uncompressed_size - 1)
    source = lzms_encode([*literals, ("m", 1, 1)], 9)
    with pytest.raises(CodecError, match="before the start"):
        DECOMPRESSOR.decompress(source, uncompressed_size)


@pytest.mark.parametrize("power", range(8))
@pytest.mark.parametrize("raw", [1, 5])
def test_delta_match_needs_its_span_before_the_offset(power: int, raw: int) -> None:
    needed = (raw << power) + (1 << power)
    for produced in (needed, needed - 1):
        items: list[LzmsItem] = [("l", byte & 63) for byte in range(produced)]
        source = lzms_encode([*items, ("d", 3, power, raw)], produced + 3)
        if produced == needed:
            expected = lzms_decompress(source, produced + 3)
            assert DECOMPRESSOR.decompress(source, produced + 3) == expected
        else:
            with pytest.raises(CodecError, match=rf"offset {produced}: .* before the start"):
                DECOMPRESSOR.decompress(source, produced + 3)


@pytest.mark.slow
def test_every_offset_slot_is_read() -> None:
    # The smallest block whose alphabet has all the slots. No byte of it concerns the x86 filter.
    size = 1 << 27
    period = bytes(random.Random(1).randrange(64) for _ in range(251))
    items: list[LzmsItem] = [("l", byte) for byte in period]
    slots = zip(LZMS_OFFSET_BASE, LZMS_OFFSET_EXTRA, strict=True)
    ends = [(base, base + (1 << extra) - 1) for base, extra in slots]
    offsets = [offset for pair in ends for offset in pair if offset < size - 5000]
    start = size - 3 * len(offsets)
    items.append(("m", start - 251, 251))
    items += [("m", 3, offset) for offset in offsets]
    tail = bytearray()
    for offset in offsets:
        for _ in range(3):
            source = start + len(tail) - offset
            tail.append(tail[source - start] if source >= start else period[source % 251])

    decoded = LzmsDecompressor(size).decompress(lzms_encode(items, size), size)

    assert decoded[start:] == tail
    assert decoded[:1004] == period * 4


def corrupted(source: bytes, pick: random.Random) -> bytes:
    broken = bytearray(source)
    for _ in range(pick.randint(1, 4)):
        at = pick.randrange(len(broken)) if broken else 0
        match pick.randrange(5):
            case 0:
                broken[at : at + 1] = bytes([pick.randrange(256)])
            case 1:
                broken[at : at + 9] = bytes(len(broken[at : at + 9]))
            case 2:
                del broken[at:]
            case 3:
                del broken[:at]
            case _:
                broken[at:at] = pick.randbytes(2)
    return bytes(broken)


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 200), size_change=st.integers(-20, 40))
def test_corruptions_get_the_verdict_of_the_reference(
    seed: int, count: int, size_change: int
) -> None:
    stream = Stream(seed, 0.6).add(count)
    source = corrupted(stream.encode(), random.Random(seed))
    size = max(1, min(stream.position + size_change, BLOCK_SIZE))
    try:
        expected = lzms_decompress(source, size)
    except Malformed:
        with pytest.raises(CodecError):
            decode_between_guards(DECOMPRESSOR, source, size)
    else:
        assert decode_between_guards(DECOMPRESSOR, source, size) == expected


@settings(deadline=None, max_examples=150)
@given(source=st.binary(max_size=200), size=st.integers(1, 3000))
def test_garbage_gets_the_verdict_of_the_reference(source: bytes, size: int) -> None:
    try:
        expected = lzms_decompress(source, size)
    except Malformed:
        with pytest.raises(CodecError):
            decode_between_guards(DECOMPRESSOR, source, size)
    else:
        assert decode_between_guards(DECOMPRESSOR, source, size) == expected


def test_blocks_do_not_depend_on_the_blocks_before() -> None:
    decompressor = LzmsDecompressor(BLOCK_SIZE)
    for seed in (1, 2, 1, 3, 1):
        stream = Stream(seed, 0.5).add(250)
        source = stream.encode()
        with pytest.raises(CodecError):
            decompressor.decompress(b"\xff" * 40, 600)
        expected = lzms_decompress(source, stream.position)
        assert decompressor.decompress(source, stream.position) == expected
    code = x86(3, 4000)
    source = lzms_encode([("l", byte) for byte in code], len(code))
    expected = lzms_decompress(source, len(code))
    for _ in range(3):  # a target remembered from the block before would be taken as confirmed
        assert decompressor.decompress(source, len(code)) == expected


@pytest.mark.parametrize("block_size", [0, -32768, 1 << 14, (1 << 15) + 1, 1 << 31, 1 << 70])
def test_block_size_must_be_a_power_of_two_in_range(block_size: int) -> None:
    with pytest.raises(ValueError, match=r"2\*\*15 to 2\*\*30"):
        LzmsDecompressor(block_size)


def test_output_over_the_block_size_is_refused() -> None:
    decompressor = LzmsDecompressor(1 << 15)
    for size in (-1, (1 << 15) + 1, 1 << 70):
        with pytest.raises(ValueError, match=r"0\.\.32768"):
            decompressor.decompress(bytes(4), size)
    with pytest.raises(ValueError, match=r"0\.\.32768"):
        decompressor.decompress_into(bytes(4), bytearray((1 << 15) + 1))


def test_an_object_serves_one_thread_at_a_time() -> None:
    size = 1 << 26
    source = lzms_encode([("l", 7), ("m", size - 1, 1)], size)
    decompressor = LzmsDecompressor(size)
    refusals: list[RuntimeError] = []
    deadline = time.monotonic() + 60

    def decode_until_refused() -> None:
        block = bytearray(size)
        while not refusals and time.monotonic() < deadline:
            try:
                decompressor.decompress_into(source, block)
            except RuntimeError as error:
                refusals.append(error)

    threads = [threading.Thread(target=decode_until_refused) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals
    assert "another thread" in str(refusals[0])
    assert decompressor.decompress(source, size) == b"\x07" * size


class Libwim:
    """The peer's raw LZMS compressor."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("wim")
        if name is None:
            pytest.skip("libwim is not installed")
        self.library = ctypes.CDLL(name)
        self.library.wimlib_compress.restype = ctypes.c_size_t

    def compress(self, block: bytes, block_size: int, level: int) -> bytes | None:
        compressor = ctypes.c_void_p()
        result = self.library.wimlib_create_compressor(
            LZMS, ctypes.c_size_t(block_size), level, ctypes.byref(compressor)
        )
        assert result == 0
        room = ctypes.create_string_buffer(len(block))
        size = self.library.wimlib_compress(
            block, ctypes.c_size_t(len(block)), room, ctypes.c_size_t(len(block) - 1), compressor
        )
        self.library.wimlib_free_compressor(compressor)
        return room.raw[:size] or None


def real_data(size: int) -> bytes:
    sources = sorted(Path(os.__file__).parent.glob("*.py"))
    text = b"".join(path.read_bytes() for path in sources)[: size // 3]
    program = Path(sys.executable).resolve().read_bytes() + Path("/bin/ls").read_bytes()
    samples = b"".join(index.to_bytes(4, "little") for index in range(0, size // 12 * 7, 7))
    return (text + program[: size // 3] + samples + words(2, 50_000))[:size]


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize(
    ("block_size", "level", "size"),
    [
        (1 << 15, 20, 1 << 19),
        (1 << 17, 50, 1 << 20),
        (1 << 20, 100, 1 << 20),
        (1 << 24, 20, 9 << 20),
    ],
)
def test_blocks_of_the_peer_decode(block_size: int, level: int, size: int) -> None:
    libwim = Libwim()
    decompressor = LzmsDecompressor(block_size)
    data = real_data(size)
    decoded_blocks = 0
    for start in range(0, len(data), block_size):
        block = data[start : start + block_size]
        source = libwim.compress(block, block_size, level)
        if source is not None:
            assert decode_between_guards(decompressor, source, len(block)) == block
            decoded_blocks += 1
    assert decoded_blocks >= len(data) // block_size // 2
