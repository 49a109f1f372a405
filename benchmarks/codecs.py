"""Decoders and compressors: ours beside wimlib's on the same chunks, one core, CPU time."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import data, libwim
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.codecs.factory import open_compressor, open_decompressor

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Sequence

KIB, MIB = 1 << 10, 1 << 20
PASSES = 3
"""Of each decoder, in turn with the other; the best counts."""


@dataclass(frozen=True)
class Case:
    """A codec as it is used."""

    codec: CodecId
    chunk_size: int
    sample_size: int
    levels: tuple[int, ...]
    """What wimlib-imagex calls levels; 50 is its default, 20 what it takes for quick captures."""

    @property
    def title(self) -> str:
        """How tables name it."""
        size = self.chunk_size
        return f"{self.codec.name} {f'{size // MIB}M' if size >= MIB else f'{size // KIB}K'}"


CASES = (
    Case(CodecId.XPRESS, 4 * KIB, 24 * MIB, (50,)),
    Case(CodecId.XPRESS, 32 * KIB, 24 * MIB, (20, 50)),
    Case(CodecId.LZX, 32 * KIB, 24 * MIB, (20, 50)),
    Case(CodecId.LZX, 128 * KIB, 24 * MIB, (50,)),
    Case(CodecId.LZMS, 128 * KIB, 8 * MIB, (50,)),
    Case(CodecId.LZMS, 8 * MIB, 16 * MIB, (50,)),
)


def cpu_seconds(action: Callable[[], object]) -> float:
    """Return the CPU time of this thread that an action takes."""
    start = time.thread_time()
    action()
    return time.thread_time() - start


def encoded_by(
    compress: Callable[[bytes], bytes | None], chunks: Sequence[bytes]
) -> tuple[float, list[bytes | None]]:
    """Return the seconds and the encoded chunks, None for those stored raw."""
    encoded: list[bytes | None] = []
    seconds = cpu_seconds(lambda: encoded.extend(compress(chunk) for chunk in chunks))
    return seconds, encoded


def stored_size(encoded: Sequence[bytes | None], chunks: Sequence[bytes]) -> int:
    """Return the bytes that the chunks take in a WIM."""
    return sum(
        len(chunk if code is None else code) for code, chunk in zip(encoded, chunks, strict=True)
    )


def measure_decoders(
    library: ctypes.CDLL, case: Case, chunks: Sequence[bytes], encoded: Sequence[bytes | None]
) -> tuple[float, float]:
    """Return the MB/s of ours and of wimlib's on the chunks that wimlib encoded."""
    work = [
        (code, len(chunk)) for code, chunk in zip(encoded, chunks, strict=True) if code is not None
    ]
    ours = open_decompressor(case.codec, case.chunk_size)
    peer = libwim.PeerDecompressor(library, case.codec, case.chunk_size)
    for code, chunk in zip(encoded, chunks, strict=True):
        if code is not None and ours.decompress(code, len(chunk)) != chunk:
            raise RuntimeError(f"{case.title}: a chunk decodes to something else")

    def decode(decompress: Callable[[bytes, int], object]) -> None:
        for code, size in work:
            decompress(code, size)

    best = [float("inf"), float("inf")]
    for _ in range(PASSES):
        for which, decompress in enumerate((ours.decompress, peer.decompress)):
            best[which] = min(best[which], cpu_seconds(lambda d=decompress: decode(d)))  # type: ignore[misc]
    peer.close()
    nbytes = sum(size for _, size in work)
    return nbytes / best[0] / 1e6, nbytes / best[1] / 1e6


def report_case(library: ctypes.CDLL, case: Case, sample: bytes) -> None:
    """Print the lines of one codec and chunk size."""
    chunks = [
        sample[start : start + case.chunk_size] for start in range(0, len(sample), case.chunk_size)
    ]
    decoders = None
    for level in case.levels:
        peer = libwim.PeerCompressor(library, case.codec, case.chunk_size, level)
        peer_seconds, encoded = encoded_by(peer.compress, chunks)
        peer.close()
        ours = open_compressor(case.codec, case.chunk_size, level)
        our_seconds, our_encoded = encoded_by(ours.compress, chunks)
        decoders = decoders or measure_decoders(library, case, chunks, encoded)
        size_ratio = stored_size(our_encoded, chunks) / stored_size(encoded, chunks)
        ours_mbs, peer_mbs = (len(sample) / s / 1e6 for s in (our_seconds, peer_seconds))
        print(
            f"{case.title:12}{level:6}"
            f"{decoders[0]:10.0f}{decoders[1]:8.0f}{decoders[0] / decoders[1]:7.2f}"
            f"{ours_mbs:11.2f}{peer_mbs:8.2f}{ours_mbs / peer_mbs:7.2f}{size_ratio:9.4f}",
            flush=True,
        )


def main() -> None:
    """Run every case."""
    library = libwim.load()
    if library is None:
        sys.exit("codecs: libwim is not installed")
    print("\nBlock codecs, MB/s of one core; more than 1.00 of wimlib's speed is faster,")
    print("less than 1.0000 of its size is smaller")
    print(f"{'':12}{'':6}{'decoding':>18}{'':7}{'compressing':>19}")
    print(
        f"{'':12}{'level':>6}{'wimtui':>10}{'wimlib':>8}{'ratio':>7}"
        f"{'wimtui':>11}{'wimlib':>8}{'ratio':>7}{'size':>9}"
    )
    sample = data.mixed_sample()
    for case in CASES:
        report_case(library, case, sample[: case.sample_size])
