from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codecs import libwim
from tests.codecs.block_data import LEVELS, MAKERS, blocks, noise, parts
from tests.reference.lzms import lzms_decompress
from wimtui.engine.codecs._lzms_compress import LzmsCompressor
from wimtui.engine.codecs._lzms_decompress import LzmsDecompressor
from wimtui.engine.codecs.base import CodecId

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK_SIZES = (32768, 131072)
DECOMPRESSOR = LzmsDecompressor(1 << 20)
WINDOW_SIZE = 1 << 26


def counters(rng: random.Random, size: int) -> bytes:
    """A table of 16- or 32-bit numbers that grow by fixed steps: nothing but delta matches fit."""
    nbytes = rng.choice((2, 4))
    columns = rng.choice((1, 2, 4))
    steps = [rng.randrange(1, 70000) for _ in range(columns)]
    values = [rng.getrandbits(32) for _ in range(columns)]
    out = bytearray()
    while len(out) < size:
        for column in range(columns):
            out += (values[column] & (1 << 8 * nbytes) - 1).to_bytes(nbytes, "little")
            values[column] += steps[column]
    return bytes(out[:size])


def waves(rng: random.Random, size: int) -> bytes:
    """Samples of several channels that repeat in their differences and drift in their level."""
    channels = rng.choice((1, 2, 4, 8, 16, 32))
    shape = [[rng.randrange(-9, 10) for _ in range(rng.choice((7, 50)))] for _ in range(channels)]
    level = [rng.randrange(256) for _ in range(channels)]
    out = bytearray()
    for i in range(size):
        channel = i % channels
        step = shape[channel]
        level[channel] += step[i // channels % len(step)]
        out.append(level[channel] & 255)
    return bytes(out)


def code(rng: random.Random, size: int) -> bytes:
    """Every kind of instruction the x86 filter translates, referring to few targets."""
    opcodes = (
        b"\xe8",
        b"\xe9",
        b"\xff\x15",
        b"\x48\x8b\x05",
        b"\x48\x8b\x0d",
        b"\x48\x8d\x3d",
        b"\x4c\x8d\x05",
        b"\xf0\x83\x05",
    )
    targets = [rng.getrandbits(20) for _ in range(6)]
    out = bytearray()
    while len(out) < size:
        out += rng.choice((b"", b"\x55\x48\x89\xe5", b"\xc3\x90", rng.randbytes(3)))
        opcode = rng.choice(opcodes)
        displacement = rng.choice(targets) - len(out)
        out += opcode + (displacement & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(out[:size])


OWN_MAKERS: dict[str, Callable[[random.Random, int], bytes]] = {
    "counters": counters,
    "waves": waves,
    "code": code,
}


@st.composite
def own_blocks(draw: st.DrawFn, largest: int) -> bytes:
    """Parts that suit the delta matches and the x86 filter, between other kinds."""
    data = b""
    for _ in range(draw(st.integers(1, 3))):
        maker = OWN_MAKERS[draw(st.sampled_from(sorted(OWN_MAKERS)))]
        data += maker(random.Random(draw(st.integers(0, 2**32))), draw(st.integers(0, 9000)))
        data += parts(draw(st.sampled_from(sorted(MAKERS))), draw(st.integers(0, 2**32)), 500)
    return data[:largest]


def check_round_trip(block_size: int, level: int, block: bytes) -> bytes | None:
    encoded = LzmsCompressor(block_size, level).compress(block)
    if encoded is not None:
        assert len(encoded) < len(block)
        assert DECOMPRESSOR.decompress(encoded, len(block)) == block
    return encoded


@settings(max_examples=100, deadline=None)
@given(data=st.data(), block_size=st.sampled_from(BLOCK_SIZES), level=LEVELS)
def test_decodes_to_its_input(data: st.DataObject, block_size: int, level: int) -> None:
    check_round_trip(block_size, level, data.draw(blocks(block_size)))


@settings(max_examples=100, deadline=None)
@given(block=own_blocks(32768), level=LEVELS)
def test_tables_and_code_decode_to_their_input(block: bytes, level: int) -> None:
    check_round_trip(32768, level, block)


@settings(max_examples=100, deadline=None)
@given(letters=st.sampled_from((1, 2, 3, 256)), size=st.integers(5, 300), data=st.data())
def test_tiny_blocks_decode_to_their_input(letters: int, size: int, data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    block = bytes(rng.randrange(letters) for _ in range(size))
    check_round_trip(32768, data.draw(LEVELS), block)


@pytest.mark.parametrize("level", range(1, 101))
def test_every_level(level: int) -> None:
    for maker in ("words", "copies", "runs"):
        assert check_round_trip(32768, level, parts(maker, level, 20000)) is not None


@settings(max_examples=20, deadline=None)
@given(block=st.one_of(blocks(5000), own_blocks(5000)), level=LEVELS)
def test_follows_the_specification(block: bytes, level: int) -> None:
    encoded = LzmsCompressor(32768, level).compress(block)
    if encoded is not None:
        assert lzms_decompress(encoded, len(block)) == block


@pytest.mark.parametrize("level", [20, 50, 80])
def test_one_object_serves_block_after_block(level: int) -> None:
    """Nothing of an earlier block may show in the next: output depends on input and level alone."""
    compressor = LzmsCompressor(32768, level)
    sizes = (32768, 700, 5000, 6, 32767)
    made = [parts(maker, 7, size) for maker in sorted(MAKERS) for size in sizes]
    made += [maker(random.Random(7), size) for maker in OWN_MAKERS.values() for size in sizes]
    random.Random(3).shuffle(made)
    for block in made:
        assert compressor.compress(block) == LzmsCompressor(32768, level).compress(block)


@pytest.mark.parametrize("level", [20, 35, 50, 80])
def test_larger_blocks(level: int) -> None:
    """A megabyte takes the paths for data beyond the caches."""
    block = b"".join(parts(maker, level, 1 << 17) for maker in sorted(MAKERS))
    assert check_round_trip(1 << 20, level, block) is not None


@pytest.mark.parametrize("level", [20, 50])
@pytest.mark.parametrize("length", [62, 63, 64, 255, 256, 257, 2218, 2219, 67754, 67755])
def test_match_lengths(level: int, length: int) -> None:
    """Lengths around those that are taken at once, and around the slots of the long ones."""
    rng = random.Random(length)
    piece = noise(rng, 3) * (length // 3 + 1)
    block = b"".join(piece[:length] + noise(rng, 9) for _ in range(4))[:131072]
    assert check_round_trip(131072, level, block) is not None


@pytest.mark.parametrize("power", range(8))
def test_delta_matches_of_every_span(power: int) -> None:
    """Differences repeat while bytes do not: LZ matches alone would leave it nearly as it is."""
    rng = random.Random(power)
    span = 1 << power
    column = bytearray(rng.randbytes(span))
    block = bytearray()
    steps = [rng.randbytes(span) for _ in range(1024 // span)]
    for i in range(16384 // span):
        step = steps[i % len(steps)]
        column = bytearray((a + b) & 255 for a, b in zip(column, step, strict=True))
        block += column
        if rng.randrange(60) == 0:
            column = bytearray(rng.randbytes(span))
    encoded = check_round_trip(32768, 50, bytes(block))
    assert encoded is not None
    assert len(encoded) < 0.3 * len(block)
    without_deltas = LzmsCompressor(32768, 30).compress(block)
    assert without_deltas is None or len(without_deltas) > 0.8 * len(block)


def test_higher_levels_encode_smaller() -> None:
    block = parts("copies", 1, 32768) + parts("words", 2, 32768)
    sizes = [len(check_round_trip(131072, level, block) or block) for level in (20, 40, 60)]
    assert sizes[0] > sizes[1] >= sizes[2]


@pytest.mark.parametrize("level", [20, 50, 80])
def test_no_result_unless_smaller(level: int) -> None:
    compressor = LzmsCompressor(32768, level)
    for size in range(6):
        assert compressor.compress(bytes(size)) is None
    assert compressor.compress(noise(random.Random(1), 32768)) is None
    encoded = compressor.compress(bytes(300))
    assert encoded is not None
    assert len(encoded) < 300


def test_takes_any_buffer() -> None:
    block = parts("words", 5, 3000)
    compressor = LzmsCompressor(32768)
    expected = compressor.compress(block)
    assert expected is not None
    assert compressor.compress(bytearray(block)) == expected
    assert compressor.compress(memoryview(b"x" + block)[1:]) == expected


@pytest.mark.parametrize("block_size", [0, 16384, 32769, 40000, 1 << 31])
def test_refuses_block_sizes(block_size: int) -> None:
    with pytest.raises(ValueError, match="block size"):
        LzmsCompressor(block_size)


@pytest.mark.parametrize("level", [0, 101, 4000])
def test_refuses_levels(level: int) -> None:
    with pytest.raises(ValueError, match="level"):
        LzmsCompressor(32768, level)


def test_refuses_oversized_input() -> None:
    with pytest.raises(ValueError, match="32769 bytes"):
        LzmsCompressor(32768).compress(bytes(32769))


def test_refuses_a_second_thread() -> None:
    """While one thread encodes, the object answers others with an error, and stays sound."""
    compressor = LzmsCompressor(131072, 100)
    block = parts("copies", 9, 131072)
    expected = compressor.compress(block)
    refused = threading.Event()
    wrong: list[bytes | None] = []

    def encode() -> None:
        for _ in range(100):
            try:
                encoded = compressor.compress(block)
            except RuntimeError:
                refused.set()
            else:
                if encoded != expected:
                    wrong.append(encoded)
            if refused.is_set():
                return

    threads = [threading.Thread(target=encode) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused.is_set()
    assert not wrong
    assert compressor.compress(block) == expected


@pytest.mark.slow
@pytest.mark.parametrize("level", [10, 50])
def test_blocks_of_several_windows(level: int) -> None:
    """The match finders hold 64 MiB; items and repeats go on across the border."""
    piece = parts("words", 4, 50000) + counters(random.Random(4), 15536)
    around = piece * 3 + noise(random.Random(5), 1000) + bytes(1000)
    block = bytearray(piece * (WINDOW_SIZE // len(piece)) + around)
    block[WINDOW_SIZE - 100] ^= 0x55
    encoded = LzmsCompressor(2 * WINDOW_SIZE, level).compress(block)
    assert encoded is not None
    assert LzmsDecompressor(2 * WINDOW_SIZE).decompress(encoded, len(block)) == block


@pytest.mark.oracle
@settings(max_examples=60, deadline=None)
@given(data=st.data(), block_size=st.sampled_from(BLOCK_SIZES), level=LEVELS)
def test_wimlib_decodes_it(data: st.DataObject, block_size: int, level: int) -> None:
    library = libwim.load()
    if library is None:
        pytest.skip("libwim is not installed")
    block = data.draw(st.one_of(blocks(block_size), own_blocks(block_size)))
    encoded = LzmsCompressor(block_size, level).compress(block)
    if encoded is not None:
        with libwim.OracleDecompressor(library, CodecId.LZMS, block_size) as oracle:
            assert oracle.decompress(encoded, len(block)) == block
