"""Blocks to compress: hypothesis strategies over data that takes the encoders' different paths."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.reference.generators import GENERATORS

if TYPE_CHECKING:
    from collections.abc import Callable


def noise(rng: random.Random, size: int) -> bytes:
    return rng.randbytes(size)


def skewed(rng: random.Random, size: int) -> bytes:
    """Literals from a steep distribution: hardly any match, long and short codewords."""
    symbols = rng.sample(range(256), 24)
    return bytes(rng.choices(symbols, weights=[2**k for k in range(24)], k=size))


def periodic(rng: random.Random, size: int) -> bytes:
    period = rng.choice((1, 1, 2, 3, 5, 8, 15, 40, 300))
    return (rng.randbytes(period) * (size // period + 1))[:size]


def runs(rng: random.Random, size: int) -> bytes:
    out = bytearray()
    while len(out) < size:
        out += bytes([rng.randrange(256)]) * rng.choice((1, 2, 17, 18, 257, 258, 259, 273, 5000))
    return bytes(out[:size])


def copies(rng: random.Random, size: int) -> bytes:
    """Matches of all lengths and offsets, often broken by one changed byte (gap matches)."""
    out = bytearray(rng.randbytes(rng.randint(1, 600)))
    while len(out) < size:
        start = rng.randrange(len(out))
        piece = bytearray(out[start : start + rng.choice((2, 3, 4, 9, 33, 60, 256, 257, 700))])
        if rng.random() < 0.5:
            piece[rng.randrange(len(piece))] ^= 0x55
        out += piece
        if rng.random() < 0.4:
            out += rng.randbytes(rng.randint(1, 6))
    return bytes(out[:size])


def calls(rng: random.Random, size: int) -> bytes:
    """E8 opcodes at every distance, with operands around the limits of E8 translation."""
    limits = (0, 1, 12_000_000, 2**31 - 1, -1, -(2**31))
    out = bytearray()
    while len(out) < size:
        out += rng.choice((b"", b"\x55\x48\x89\xe5", b"\xe8", rng.randbytes(3)))
        target = rng.choice(limits) + rng.randint(-40, 40) - rng.choice((0, len(out)))
        out += b"\xe8" + (target & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(out[:size])


def generated(name: str) -> Callable[[random.Random, int], bytes]:
    return lambda rng, size: GENERATORS[name](rng.randrange(1, 2**31), size)


MAKERS = {
    "noise": noise,
    "skewed": skewed,
    "periodic": periodic,
    "runs": runs,
    "copies": copies,
    "calls": calls,
    "words": generated("words"),
    "records": generated("records"),
}


def parts(maker: str, seed: int, size: int) -> bytes:
    return MAKERS[maker](random.Random(seed), size)


@st.composite
def blocks(draw: st.DrawFn, largest: int) -> bytes:
    """Up to ``largest`` bytes of one to four kinds one after another, or a tiny literal input."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=400))
    size = draw(
        st.one_of(
            st.integers(0, 700),
            st.integers(0, largest),
            st.just(largest),
            st.just(largest - 1),
        )
    )
    data = b""
    for _ in range(draw(st.integers(1, 4))):
        data += parts(draw(st.sampled_from(sorted(MAKERS))), draw(st.integers(0, 2**32)), size)
        size = largest // 4
    return data[: min(len(data), largest)]


LEVELS = st.one_of(st.integers(1, 100), st.sampled_from((1, 20, 29, 30, 34, 35, 50, 60, 80, 100)))
