from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codecs import libwim
from tests.codecs.block_data import LEVELS, MAKERS, blocks, noise, parts
from tests.reference.lzx import lzx_decompress
from wimtui.engine.codecs._lzx_compress import LzxCompressor
from wimtui.engine.codecs._lzx_decompress import LzxDecompressor
from wimtui.engine.codecs.base import CodecId

BLOCK_SIZES = (1 << 15, 1 << 16, 1 << 17, 1 << 21)
DECOMPRESSORS = {block_size: LzxDecompressor(block_size) for block_size in BLOCK_SIZES}
UNCOMPRESSED = 3


def check_round_trip(block_size: int, level: int, block: bytes) -> bytes | None:
    encoded = LzxCompressor(block_size, level).compress(block)
    if encoded is not None:
        assert len(encoded) < len(block)
        assert DECOMPRESSORS[block_size].decompress(encoded, len(block)) == block
    return encoded


def mixed_data(seed: int) -> bytes:
    """Kinds of data that alternate, so that blocks are split; some parts are incompressible."""
    rng = random.Random(seed)
    made = [
        parts(
            rng.choice(("words", "noise", "records", "calls")), seed + k, rng.randint(7000, 60000)
        )
        for k in range(6)
    ]
    return b"".join(made)


@settings(max_examples=120, deadline=None)
@given(data=st.data(), block_size=st.sampled_from(BLOCK_SIZES), level=LEVELS)
def test_decodes_to_its_input(data: st.DataObject, block_size: int, level: int) -> None:
    check_round_trip(block_size, level, data.draw(blocks(min(block_size, 150000))))


@pytest.mark.parametrize("level", range(1, 101))
def test_every_level(level: int) -> None:
    for maker in ("words", "copies", "calls"):
        assert check_round_trip(32768, level, parts(maker, level, 20000)) is not None


@settings(max_examples=15, deadline=None)
@given(block=blocks(6000), level=LEVELS, block_size=st.sampled_from(BLOCK_SIZES))
def test_follows_the_specification(block: bytes, level: int, block_size: int) -> None:
    encoded = LzxCompressor(block_size, level).compress(block)
    if encoded is not None:
        assert lzx_decompress(encoded, len(block), block_size) == block


@pytest.mark.parametrize("level", [20, 50])
@pytest.mark.parametrize("seed", range(6))
def test_several_blocks(level: int, seed: int) -> None:
    block = mixed_data(seed)
    assert check_round_trip(1 << 21, level, block) is not None


@pytest.mark.parametrize("level", [20, 50])
@pytest.mark.parametrize("order", [15, 17])
@pytest.mark.parametrize("odd", [0, 1])
def test_incompressible_parts_are_stored(level: int, order: int, odd: int) -> None:
    """A split-off incompressible part costs its size and a header, not the worst case of a code."""
    incompressible = 12000 + odd
    block = parts("words", 1, 9000) + noise(random.Random(2), incompressible) + bytes(9000)
    encoded = check_round_trip(1 << max(order, 15), level, block[: 1 << order])
    assert encoded is not None
    assert len(encoded) < len(block) - 9000 - 3000


@pytest.mark.parametrize("level", [20, 50])
def test_one_object_serves_block_after_block(level: int) -> None:
    """Nothing of an earlier block may show in the next: output depends on input and level alone."""
    compressor = LzxCompressor(32768, level)
    sizes = (32768, 700, 32768, 5000, 49, 32767)
    made = [parts(maker, 7, size) for maker in sorted(MAKERS) for size in sizes]
    random.Random(3).shuffle(made)
    for block in made:
        assert compressor.compress(block) == LzxCompressor(32768, level).compress(block)


@pytest.mark.parametrize("level", [20, 50])
def test_translates_calls(level: int) -> None:
    """Calls of one function from many places match only if their operands are made absolute."""
    rng = random.Random(4)
    code = bytearray()
    while len(code) < 30000:
        code += rng.randbytes(2) + b"\xe8" + (20_000 - len(code)).to_bytes(4, "little", signed=True)
    encoded = check_round_trip(32768, level, bytes(code))
    assert encoded is not None
    assert len(encoded) < len(code) * 0.55


def test_higher_levels_encode_smaller() -> None:
    block = parts("copies", 1, 32768) + parts("words", 2, 32768)
    sizes = [len(check_round_trip(65536, level, block) or block) for level in (20, 35, 50)]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("level", [20, 50])
def test_no_result_unless_smaller(level: int) -> None:
    compressor = LzxCompressor(32768, level)
    assert compressor.compress(b"") is None
    assert compressor.compress(bytes(20)) is None
    assert compressor.compress(noise(random.Random(1), 32768)) is None
    encoded = compressor.compress(bytes(300))
    assert encoded is not None
    assert len(encoded) < 300


def test_takes_any_buffer() -> None:
    block = parts("words", 5, 3000)
    compressor = LzxCompressor(32768)
    expected = compressor.compress(block)
    assert expected is not None
    assert compressor.compress(bytearray(block)) == expected
    assert compressor.compress(memoryview(b"x" + block)[1:]) == expected


@pytest.mark.parametrize("block_size", [0, 16384, 32769, 40000, 1 << 22])
def test_refuses_block_sizes(block_size: int) -> None:
    with pytest.raises(ValueError, match="block size"):
        LzxCompressor(block_size)


@pytest.mark.parametrize("level", [0, 101, 4000])
def test_refuses_levels(level: int) -> None:
    with pytest.raises(ValueError, match="level"):
        LzxCompressor(32768, level)


def test_refuses_oversized_input() -> None:
    with pytest.raises(ValueError, match="32769 bytes"):
        LzxCompressor(32768).compress(bytes(32769))


def test_refuses_a_second_thread() -> None:
    """While one thread encodes, the object answers others with an error, and stays sound."""
    compressor = LzxCompressor(65536, 100)
    block = parts("copies", 9, 65536)
    expected = compressor.compress(block)
    refused = threading.Event()
    wrong: list[bytes | None] = []

    def encode() -> None:
        for _ in range(400):
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


@pytest.mark.oracle
@settings(max_examples=60, deadline=None)
@given(data=st.data(), block_size=st.sampled_from(BLOCK_SIZES), level=LEVELS)
def test_wimlib_decodes_it(data: st.DataObject, block_size: int, level: int) -> None:
    library = libwim.load()
    if library is None:
        pytest.skip("libwim is not installed")
    block = data.draw(blocks(min(block_size, 150000)))
    encoded = LzxCompressor(block_size, level).compress(block)
    if encoded is not None:
        with libwim.OracleDecompressor(library, CodecId.LZX, block_size) as oracle:
            assert oracle.decompress(encoded, len(block)) == block


def first_block(encoded: bytes) -> tuple[int, int]:
    """Kind and size in the first block's header, for windows over 32 KiB."""
    high, low = (int.from_bytes(encoded[k : k + 2], "little") for k in (0, 2))
    return high >> 13, 32768 if high >> 12 & 1 else (high & 0xFFF) << 12 | low >> 4


@pytest.mark.oracle
@pytest.mark.parametrize("level", [20, 50])
def test_wimlib_decodes_stored_blocks_of_the_default_size(level: int) -> None:
    """In large windows wimlib wants the size 32768 of an uncompressed block stated."""
    library = libwim.load()
    if library is None:
        pytest.skip("libwim is not installed")
    block_size = 1 << 17
    compressor = LzxCompressor(block_size, level)
    block = parts("words", 1, 30000) + noise(random.Random(2), 60000)
    encoded = compressor.compress(block)
    assert encoded is not None
    kind, size = first_block(encoded)
    assert kind != UNCOMPRESSED
    assert 30000 <= size < 40000
    block = block[: size + 32768]
    encoded = compressor.compress(block)
    assert encoded is not None
    assert first_block(encoded) == (kind, size)
    assert encoded[-32768:] == block[-32768:], "the second block should be an uncompressed one"
    assert DECOMPRESSORS[block_size].decompress(encoded, len(block)) == block
    with libwim.OracleDecompressor(library, CodecId.LZX, block_size) as oracle:
        assert oracle.decompress(encoded, len(block)) == block
