from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.bits import Malformed, copy_match
from tests.reference.generators import random_bytes, words
from tests.reference.xpress import XpressItem, xpress_decompress, xpress_encode
from wimtui.engine.codecs._xpress_decompress import XpressDecompressor
from wimtui.engine.codecs.errors import CodecError

BLOCK_SIZE = 65536
GUARD = b"\xa5" * 64
DECOMPRESSOR = XpressDecompressor(BLOCK_SIZE)


def play(items: list[XpressItem]) -> bytes:
    """What the items mean, without any coding."""
    out = bytearray()
    for item in items:
        if item[0] == "l":
            out.append(item[1])
        else:
            copy_match(out, item[2], item[1], BLOCK_SIZE)
    return bytes(out)


def random_items(seed: int, count: int) -> list[XpressItem]:
    """A valid item stream with short, long and very long matches at near and far offsets."""
    rng = random.Random(seed)
    alphabet = bytes(rng.randrange(256) for _ in range(rng.choice((1, 3, 40, 256))))
    match_share = rng.choice((0.05, 0.5, 0.9))
    items: list[XpressItem] = []
    size = 0
    while len(items) < count:
        if size and rng.random() < match_share:
            limit = rng.choice((17, 17, 40, 273, 400, 5000))
            length = min(rng.randint(3, limit), BLOCK_SIZE - size)
            if length < 3:
                break
            nearest = rng.choice((1, 4, 20, 300, size))
            items.append(("m", length, rng.randint(1, min(size, nearest))))
            size += length
        elif size < BLOCK_SIZE:
            items.append(("l", rng.choice(alphabet)))
            size += 1
        else:
            break
    return items


def verdict(source: bytes, uncompressed_size: int) -> bytes | None:
    """The kernel's output, or None for a CodecError; nothing may be written past the output."""
    room = bytearray(b"\0" * uncompressed_size + GUARD)
    try:
        DECOMPRESSOR.decompress_into(source, memoryview(room)[:uncompressed_size])
    except CodecError:
        return None
    finally:
        assert room[uncompressed_size:] == GUARD
    return bytes(room[:uncompressed_size])


def reference_verdict(source: bytes, uncompressed_size: int) -> bytes | None:
    try:
        return xpress_decompress(source, uncompressed_size)
    except Malformed:
        return None


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 2500))
def test_random_items_decode(seed: int, count: int) -> None:
    items = random_items(seed, count)
    data = play(items)
    source = xpress_encode(items)
    assert xpress_decompress(source, len(data)) == data
    assert DECOMPRESSOR.decompress(source, len(data)) == data
    assert verdict(source, len(data)) == data


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_corrupt_chunks_get_the_verdict_of_the_reference(seed: int, data: st.DataObject) -> None:
    items = random_items(seed, data.draw(st.integers(20, 600)))
    size = len(play(items))
    source = bytearray(xpress_encode(items))
    for _ in range(data.draw(st.integers(0, 3))):
        bit = data.draw(st.integers(0, 8 * len(source) - 1))
        source[bit // 8] ^= 1 << bit % 8
    if data.draw(st.booleans()):
        del source[data.draw(st.integers(0, len(source))) :]
    size = min(BLOCK_SIZE, max(1, size + data.draw(st.integers(-40, 40))))
    assert verdict(bytes(source), size) == reference_verdict(bytes(source), size)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.integers(1, 3000))
def test_garbage_after_a_flat_code_gets_the_verdict_of_the_reference(
    body: bytes, size: int
) -> None:
    source = b"\x99" * 256 + body
    assert verdict(source, size) == reference_verdict(source, size)


@pytest.mark.parametrize("tail", range(40))
def test_every_input_tail_is_read_to_its_end(tail: int) -> None:
    items: list[XpressItem] = [("l", byte) for byte in words(7, 300 + tail)]
    items += [("m", 300, 200), ("l", 1), ("m", 18 + tail, 1 + tail), ("l", 2)]
    data = play(items)
    for source in (xpress_encode(items), xpress_encode(items, end_of_data=False)):
        assert DECOMPRESSOR.decompress(source, len(data)) == data
        assert verdict(source[:-1], len(data)) == reference_verdict(source[:-1], len(data))


@pytest.mark.parametrize("offset", range(1, 40))
@pytest.mark.parametrize("length", [3, 15, 16, 17, 18, 33, 200])
def test_every_overlap(offset: int, length: int) -> None:
    items: list[XpressItem] = [("l", byte) for byte in random_bytes(offset, 60)]
    items += [("m", length, offset), *(("l", byte) for byte in random_bytes(1, 60))]
    assert DECOMPRESSOR.decompress(xpress_encode(items), 120 + length) == play(items)


def test_empty_output_needs_no_input() -> None:
    assert DECOMPRESSOR.decompress(b"", 0) == b""


def test_error_names_reason_and_position() -> None:
    items: list[XpressItem] = [("l", 65), ("l", 66), ("m", 5, 9)]
    with pytest.raises(CodecError, match=r"before the start of the chunk \(after 2 of 7 bytes\)"):
        DECOMPRESSOR.decompress(xpress_encode(items), 7)


def test_object_is_unharmed_by_a_malformed_chunk() -> None:
    items = random_items(5, 500)
    with pytest.raises(CodecError):
        DECOMPRESSOR.decompress(b"\xff" * 400, 1000)
    assert DECOMPRESSOR.decompress(xpress_encode(items), len(play(items))) == play(items)


@pytest.mark.parametrize("block_size", [0, 2048, 4097, 49152, 131072, -4096])
def test_block_size_is_checked(block_size: int) -> None:
    with pytest.raises(ValueError, match="block size"):
        XpressDecompressor(block_size)


@pytest.mark.parametrize("size", [-1, 4097])
def test_uncompressed_size_is_checked(size: int) -> None:
    with pytest.raises(ValueError, match="uncompressed size"):
        XpressDecompressor(4096).decompress(b"", size)


def test_destination_must_be_writable() -> None:
    with pytest.raises(BufferError):
        DECOMPRESSOR.decompress_into(b"", b"read only")


def test_two_threads_cannot_share_an_object() -> None:
    """Every call either decodes rightly or is refused, and both happen."""
    items = random_items(11, 2000)
    data = play(items)
    source = xpress_encode(items)
    shared = XpressDecompressor(BLOCK_SIZE)
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
