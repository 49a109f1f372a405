from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codecs import libwim
from tests.codecs.block_data import LEVELS, MAKERS, blocks, noise, parts
from tests.reference.xpress import xpress_decompress
from wimtui.engine.codecs._xpress_compress import XpressCompressor
from wimtui.engine.codecs._xpress_decompress import XpressDecompressor
from wimtui.engine.codecs.base import CodecId

BLOCK_SIZES = (4096, 8192, 32768, 65536)
DECOMPRESSOR = XpressDecompressor(65536)


def check_round_trip(block_size: int, level: int, block: bytes) -> bytes | None:
    encoded = XpressCompressor(block_size, level).compress(block)
    if encoded is not None:
        assert len(encoded) < len(block)
        assert DECOMPRESSOR.decompress(encoded, len(block)) == block
    return encoded


@settings(max_examples=150, deadline=None)
@given(data=st.data(), block_size=st.sampled_from(BLOCK_SIZES), level=LEVELS)
def test_decodes_to_its_input(data: st.DataObject, block_size: int, level: int) -> None:
    check_round_trip(block_size, level, data.draw(blocks(block_size)))


@pytest.mark.parametrize("level", range(1, 101))
def test_every_level(level: int) -> None:
    for maker in ("words", "copies", "runs"):
        assert check_round_trip(32768, level, parts(maker, level, 20000)) is not None


@settings(max_examples=15, deadline=None)
@given(block=blocks(4096), level=LEVELS)
def test_follows_the_specification(block: bytes, level: int) -> None:
    encoded = XpressCompressor(4096, level).compress(block)
    if encoded is not None:
        assert xpress_decompress(encoded, len(block)) == block


@pytest.mark.parametrize("level", [10, 50, 80])
def test_one_object_serves_block_after_block(level: int) -> None:
    """Nothing of an earlier block may show in the next: output depends on input and level alone."""
    compressor = XpressCompressor(32768, level)
    sizes = (32768, 700, 32768, 5000, 261, 32767)
    made = [parts(maker, 7, size) for maker in sorted(MAKERS) for size in sizes]
    random.Random(3).shuffle(made)
    for block in made:
        assert compressor.compress(block) == XpressCompressor(32768, level).compress(block)


@pytest.mark.parametrize("level", [10, 50, 80])
@pytest.mark.parametrize("length", [17, 18, 19, 272, 273, 274, 4096, 65535])
def test_match_length_encodings(level: int, length: int) -> None:
    """Lengths around those that take one or three raw length bytes (18 and 273)."""
    between = noise(random.Random(length), 256)
    made = [bytes([k]) * (length + 1) + between[k : k + 2] for k in range(100)]
    block = b"".join(made)[:65536]
    assert check_round_trip(65536, level, block) is not None


def test_higher_levels_encode_smaller() -> None:
    block = parts("copies", 1, 32768) + parts("words", 2, 32768)
    sizes = [len(check_round_trip(65536, level, block) or block) for level in (10, 50, 80)]
    assert sizes[0] >= sizes[1] > sizes[2]


@pytest.mark.parametrize("level", [10, 50, 80])
def test_no_result_unless_smaller(level: int) -> None:
    compressor = XpressCompressor(4096, level)
    assert compressor.compress(b"") is None
    assert compressor.compress(bytes(260)) is None
    assert compressor.compress(noise(random.Random(1), 4096)) is None
    encoded = compressor.compress(bytes(300))
    assert encoded is not None
    assert len(encoded) < 300


def test_takes_any_buffer() -> None:
    block = parts("words", 5, 3000)
    compressor = XpressCompressor(4096)
    expected = compressor.compress(block)
    assert expected is not None
    assert compressor.compress(bytearray(block)) == expected
    assert compressor.compress(memoryview(b"x" + block)[1:]) == expected


@pytest.mark.parametrize("block_size", [0, 2048, 4097, 5000, 131072])
def test_refuses_block_sizes(block_size: int) -> None:
    with pytest.raises(ValueError, match="block size"):
        XpressCompressor(block_size)


@pytest.mark.parametrize("level", [0, 101, 4000])
def test_refuses_levels(level: int) -> None:
    with pytest.raises(ValueError, match="level"):
        XpressCompressor(4096, level)


def test_refuses_oversized_input() -> None:
    with pytest.raises(ValueError, match="4097 bytes"):
        XpressCompressor(4096).compress(bytes(4097))


def test_refuses_a_second_thread() -> None:
    """While one thread encodes, the object answers others with an error, and stays sound."""
    compressor = XpressCompressor(65536, 100)
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
    block = data.draw(blocks(block_size))
    encoded = XpressCompressor(block_size, level).compress(block)
    if encoded is not None:
        with libwim.OracleDecompressor(library, CodecId.XPRESS, block_size) as oracle:
            assert oracle.decompress(encoded, len(block)) == block
