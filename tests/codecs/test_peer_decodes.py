"""wimlib decodes what the compressors write: over 200 MB of mixed data, in every way of parsing."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from tests.codecs import libwim
from tests.codecs.block_data import MAKERS, parts
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.codecs.factory import open_compressor

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

MB = 1_000_000
SAMPLE_NBYTES = 16 * MB
MADE_NBYTES = 60_000

PASSES = [
    (CodecId.XPRESS, 1 << 12, 50, 16 * MB),
    (CodecId.XPRESS, 1 << 15, 20, 16 * MB),
    (CodecId.XPRESS, 1 << 15, 50, 16 * MB),
    (CodecId.XPRESS, 1 << 16, 100, 8 * MB),
    (CodecId.LZX, 1 << 15, 20, 16 * MB),
    (CodecId.LZX, 1 << 15, 34, 16 * MB),
    (CodecId.LZX, 1 << 15, 50, 16 * MB),
    (CodecId.LZX, 1 << 15, 100, 6 * MB),
    (CodecId.LZX, 1 << 17, 50, 10 * MB),
    (CodecId.LZX, 1 << 21, 20, 16 * MB),
    (CodecId.LZX, 1 << 21, 50, 10 * MB),
    (CodecId.LZMS, 1 << 17, 20, 16 * MB),
    (CodecId.LZMS, 1 << 17, 34, 16 * MB),
    (CodecId.LZMS, 1 << 17, 50, 10 * MB),
    (CodecId.LZMS, 1 << 23, 20, 16 * MB),
    (CodecId.LZMS, 1 << 23, 50, 10 * MB),
    (CodecId.LZMS, 1 << 23, 100, 8 * MB),
]
"""Codec, block size, level, and bytes: 222 MB in all."""


@pytest.fixture(scope="module")
def sample() -> bytes:
    """Programs and texts that every Python has, and all kinds of made-up data between them."""
    roots = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platstdlib"))]
    programs = sorted({path for root in roots for path in root.rglob("*.so")})
    texts = sorted(roots[0].glob("*.py")) + sorted(roots[0].glob("*/*.py"))
    out = bytearray()
    seed = 0
    kinds = sorted(MAKERS)
    while len(out) < SAMPLE_NBYTES:
        for paths in (programs, texts):
            if paths:
                out += paths[seed % len(paths)].read_bytes()[:400_000]
        if seed < 10 * len(kinds):
            out += parts(kinds[seed % len(kinds)], seed, MADE_NBYTES)
        seed += 1
    return bytes(out[:SAMPLE_NBYTES])


def test_over_200_mb_in_all() -> None:
    assert sum(nbytes for *_, nbytes in PASSES) > 200 * MB


@pytest.mark.parametrize(
    ("codec", "block_size", "level", "nbytes"),
    PASSES,
    ids=[f"{codec.name}-{size}-{level}" for codec, size, level, _ in PASSES],
)
def test_wimlib_decodes_all(
    sample: bytes, codec: CodecId, block_size: int, level: int, nbytes: int
) -> None:
    library = libwim.load()
    if library is None:
        pytest.skip("libwim is not installed")
    compressor = open_compressor(codec, block_size, level)
    compressed = stored = 0
    with libwim.OracleDecompressor(library, codec, block_size) as oracle:
        for start in range(0, nbytes, block_size):
            block = sample[start : min(start + block_size, nbytes)]
            encoded = compressor.compress(block)
            if encoded is None:
                stored += 1
                continue
            compressed += 1
            assert oracle.decompress(encoded, len(block)) == block
    assert compressed > stored
