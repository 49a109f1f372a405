from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.generators import x86
from tests.reference.lzms import lzms_x86
from wimtui.engine.codecs._lzms_decompress import translate_x86


def code_like(seed: int, size: int) -> bytes:
    """Bytes dense in what the filter looks for, with few and therefore repeated targets."""
    pick = random.Random(seed)
    opcodes = [b"\xe8", b"\xe9", b"\x48\x8d\x05", b"\x4c\x8d\x3d", b"\x48\x8b\x0d", b"\x48\x8b\xc5"]
    opcodes += [b"\x4c\x8b\x05", b"\xff\x15", b"\xff\x25", b"\xf0\x83\x05", b"\xf0\x83\x04"]
    targets = [pick.randrange(1 << 17) for _ in range(pick.choice((1, 4, 30)))]
    data = bytearray()
    while len(data) < size:
        data += pick.randbytes(pick.choice((0, 1, 3, 30, 1200)))
        displacement = pick.choice(targets) - len(data) & 0xFFFFFFFF
        data += pick.choice(opcodes) + displacement.to_bytes(4, "little")
    return bytes(data[:size])


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), size=st.integers(0, 3000), as_code=st.booleans())
def test_x86_filter_agrees_with_the_reference_and_inverts(
    seed: int, size: int, as_code: bool
) -> None:
    data = code_like(seed, size) if as_code else random.Random(seed).randbytes(size)
    for undo in (False, True):
        expected = bytearray(data)
        lzms_x86(expected, undo=undo)
        block = bytearray(data)

        translate_x86(block, undo)

        assert block == expected
        translate_x86(block, not undo)
        assert block == data


@pytest.mark.parametrize(
    ("opcode", "reach"),
    [
        (b"\xe8", 511),
        (b"\x48\x8d\x05", 1023),
        (b"\x4c\x8d\x3d", 1023),
        (b"\x48\x8b\x0d", 1023),
        (b"\xff\x15", 1023),
        (b"\xf0\x83\x05", 1023),
    ],
)
def test_x86_filter_translates_within_reach_of_confirmed_code(opcode: bytes, reach: int) -> None:
    # Two calls to one target; the last byte of the second, at 10, is where code was confirmed.
    calls = b"\x90\xe8\x33\x12\0\0\xe8\x2e\x12\0\0"
    for distance in (1, reach, reach + 1):
        at = 10 + distance
        before = calls.ljust(at, b"\x90") + opcode
        block = bytearray(before + bytes(4) + b"\x90" * 20)

        translate_x86(block, False)

        translated = at if distance <= reach else 0
        assert block == before + translated.to_bytes(4, "little") + b"\x90" * 20


@pytest.mark.parametrize("size", [70_000, 300_000])
def test_x86_filter_forgets_targets_after_64_kib(size: int) -> None:
    data = x86(5, size // 2) + bytes(size // 4) + code_like(1, size // 4)
    block, expected = bytearray(data), bytearray(data)
    lzms_x86(expected, undo=False)
    assert expected != data

    translate_x86(block, False)

    assert block == expected
