"""Deterministic sample data by generator name, seed and size; the vectors name their inputs so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Xorshift:
    """xorshift32."""

    def __init__(self, seed: int) -> None:
        self.state = (seed & 0xFFFFFFFF) or 1

    def next(self) -> int:
        state = self.state
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        self.state = state
        return state

    def below(self, limit: int) -> int:
        return self.next() % limit

    def byte(self) -> int:
        return self.next() >> 24


def random_bytes(seed: int, size: int) -> bytes:
    random = Xorshift(seed)
    return bytes(random.byte() for _ in range(size))


def words(seed: int, size: int) -> bytes:
    random = Xorshift(seed)
    vocabulary = [
        bytes(97 + random.below(26) for _ in range(2 + random.below(8))) for _ in range(64)
    ]
    out = bytearray()
    while len(out) < size:
        out += vocabulary[min(random.below(64), random.below(64))]
        out.append(10 if random.below(12) == 0 else 32)
    return bytes(out[:size])


def records(seed: int, size: int) -> bytes:
    """16-byte little-endian records with slowly changing fields."""
    random = Xorshift(seed)
    out = bytearray()
    index = 0
    address = 0x10000000
    while len(out) < size:
        address += 24 + 8 * random.below(3)
        out += (1000 + 3 * index).to_bytes(4, "little")
        out += address.to_bytes(4, "little")
        out += random.below(4).to_bytes(2, "little")
        out += b"\x07\x00"
        out += (0x40490000 + 257 * (index & 63)).to_bytes(4, "little")
        index += 1
    return bytes(out[:size])


def gradient(seed: int, size: int) -> bytes:
    """4-byte pixels, each channel a wrapping ramp with its own step; 64 pixels a row."""
    out = bytearray()
    index = 0
    while len(out) < size:
        x = index & 63
        y = index >> 6
        red = (seed + 3 * x) & 255
        green = (seed * 7 + 2 * y + x) & 255
        out += bytes((red, green, (5 * x + 11 * y) & 255, 255))
        index += 1
    return bytes(out[:size])


def pcm(seed: int, size: int) -> bytes:
    """16-bit little-endian triangle wave with a changing slope."""
    random = Xorshift(seed)
    out = bytearray()
    value = 0
    step = 300
    while len(out) < size:
        for _ in range(40 + random.below(40)):
            value = (value + step) & 0xFFFF
            out += value.to_bytes(2, "little")
        step = (100 + random.below(900)) * (1 if random.below(2) else -1)
    return bytes(out[:size])


_X86_FILLER = [
    *(b"\x55", b"\x8b\xec", b"\x83\xec\x20", b"\x89\x45\xfc", b"\x5d\xc3", b"\x33\xc0"),
    *(b"\x50", b"\x6a\x00", b"\x74\x0c", b"\x0f\xb6\xc1", b"\x90"),
]


def _x86_opcode(random: Xorshift, choice: int) -> bytes:
    if choice < 4:
        return b"\xe8"
    if choice < 7:
        return (b"\x48\x8d\x05", b"\x48\x8b\x05", b"\xff\x15")[choice - 4]
    return b"\xe9" if random.below(3) else b"\xf0\x83\x05"


def x86(seed: int, size: int) -> bytes:
    """Byte soup that resembles x86 code with relative calls to few targets."""
    random = Xorshift(seed)
    nfiller = len(_X86_FILLER)
    targets = [64 * random.below(max(2, size // 64)) for _ in range(24)]
    out = bytearray()
    while len(out) < size:
        for _ in range(1 + random.below(6)):
            out += _X86_FILLER[min(random.below(nfiller), random.below(nfiller))]
        choice = random.below(8)
        target = targets[min(random.below(24), random.below(24))]
        opcode = _x86_opcode(random, choice)
        end = len(out) + len(opcode) + 4
        out += opcode + ((target - end) & 0xFFFFFFFF).to_bytes(4, "little")
        if opcode[0] == 0xF0:
            out.append(1)
    return bytes(out[:size])


def constant(seed: int, size: int) -> bytes:
    return bytes([seed & 255]) * size


def period(seed: int, size: int) -> bytes:
    """A random period of ``seed`` bytes, repeated."""
    one = random_bytes(seed, seed)
    return (one * (size // len(one) + 1))[:size]


def skew(seed: int, size: int) -> bytes:
    """Mostly literals, with a geometric distribution of bytes."""
    random = Xorshift(seed)
    out = bytearray()
    for _ in range(size):
        value = 0
        while value < 60 and random.below(16) < 14:
            value += 1
        out.append((value * 37) & 255)
    return bytes(out)


def farcopy(seed: int, size: int) -> bytes:
    """Random blocks used again from far away with small edits: repeat offsets and gaps."""
    random = Xorshift(seed)
    out = bytearray(random_bytes(seed + 1, 600))
    while len(out) < size:
        length = 20 + random.below(120)
        start = random.below(max(1, len(out) - length))
        piece = bytearray(out[start : start + length])
        for _ in range(random.below(4)):
            # The value is drawn before the place.
            value = random.byte()
            piece[random.below(len(piece))] = value
        out += piece
        if random.below(5) == 0:
            out += bytes(random.byte() for _ in range(random.below(30)))
    return bytes(out[:size])


GENERATORS: dict[str, Callable[[int, int], bytes]] = {
    "random": random_bytes,
    "words": words,
    "records": records,
    "gradient": gradient,
    "pcm": pcm,
    "x86": x86,
    "const": constant,
    "period": period,
    "skew": skew,
    "farcopy": farcopy,
}
