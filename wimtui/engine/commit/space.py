"""How much room a write needs on its disk, reckoned before its first byte."""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import statvfs
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.codecs.factory import open_compressor
from wimtui.engine.commit.errors import NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.progress import CancelToken

_TABLES_NBYTES = 1 << 16
"""For header, XML growth and rounding to blocks."""

_SAMPLES = 128
_SAMPLED_NBYTES = 1 << 24
"""At most so much is read and compressed: some 0.2 s."""

_PIECE_NBYTES = 1 << 20
"""Longest piece of a sample; chunks of solid resources are far longer."""

_LEVEL = 20

_BETTER_PARSE = 0.85
"""What the best parse leaves of the size that the quick one used here finds."""

_STORED = 0.97
"""What it leaves of a chunk in which the quick one finds nothing at all."""

_SOLID_GAIN = 0.25
"""What a solid resource may leave of it, where many files are alike."""


@dataclass(frozen=True, slots=True)
class SpaceEstimate:
    """What a write will take of its disk beside what is there already.

    A write begins where ``least_nbytes`` are free: with less it cannot but fail. Between that and
    ``most_nbytes`` it may fail for want of room, and then leaves everything as it was.
    """

    new_nbytes: int
    """Uncompressed bytes of data that are to be compressed."""
    least_nbytes: int
    needed_nbytes: int
    """What is likely, from compressing a sample of the data."""
    most_nbytes: int
    """What is enough if nothing compresses."""
    free_nbytes: int
    """What the disk has for this user."""


@dataclass(frozen=True, slots=True)
class Load:
    """Data to be compressed in one way."""

    sources: Sequence[BlobSource]
    codec: CodecId
    chunk_size: int
    is_solid: bool = False

    @property
    def nbytes(self) -> int:
        """Uncompressed bytes."""
        return sum(source.size for source in self.sources)


@dataclass(frozen=True, slots=True)
class Needs:
    """All that a write will put on the disk."""

    path: str
    fixed_nbytes: int
    """Resources copied as they are, and tables."""
    loads: tuple[Load, ...] = ()

    @property
    def most_nbytes(self) -> int:
        """Bytes if nothing compresses."""
        return with_tables(self.fixed_nbytes + sum(load.nbytes for load in self.loads))

    def estimate(self, cancel: CancelToken | None = None) -> SpaceEstimate:
        """Return what that comes to, from compressing a sample.

        Raises:
            CancelledError: Stopped.
            WimError: Data for the sample cannot be read.
        """
        least = likely = self.fixed_nbytes
        for load in self.loads:
            mean, lowest = sampled_ratio(load, cancel)
            likely += math.ceil(load.nbytes * mean)
            least += math.floor(load.nbytes * lowest)
        new = sum(load.nbytes for load in self.loads)
        return SpaceEstimate(new, least, likely, self.most_nbytes, free_nbytes(self.path))

    def check(self, cancel: CancelToken | None = None) -> None:
        """Refuse where the disk has too little room. A sample is compressed only where it decides.

        Raises:
            NoSpaceError: Says how much is needed and how much there is.
            CancelledError, WimError: As ``estimate``.
        """
        if self.most_nbytes <= free_nbytes(self.path):
            return
        found = self.estimate(cancel)
        needed, free = found.needed_nbytes, found.free_nbytes
        if free < found.least_nbytes:
            raise NoSpaceError(
                f"about {needed} bytes are needed and {free} are free, {needed - free} too few",
                path=self.path,
                hint="nothing was written; make room on its disk and try again, or begin "
                "all the same with --no-space-check",
            )


def free_nbytes(path: str) -> int:
    """Return the room on the disk that holds, or will hold, ``path``. Raises OSError."""
    status = statvfs(Path(path).parent)
    return status.f_bavail * status.f_frsize


def with_tables(nbytes: int) -> int:
    """Return the room to ask for to write so many bytes of data and tables."""
    return nbytes + _TABLES_NBYTES


def sampled_ratio(load: Load, cancel: CancelToken | None = None) -> tuple[float, float]:
    """Return what part of the data compression will leave: likely, and at the least.

    Chunks at even steps through all the data are compressed quickly. The least allows three
    standard errors and a better compressor.

    Raises:
        CancelledError: Stopped.
        WimError: The data cannot be read.
    """
    if load.codec is CodecId.NONE:
        return 1.0, 1.0
    ratios = []
    piece_nbytes = min(load.chunk_size, _PIECE_NBYTES)
    compressor = open_compressor(load.codec, piece_nbytes, _LEVEL)
    for source, offset in _places(load, piece_nbytes):
        if cancel is not None:
            cancel.check()
        file = source.open()
        try:
            data = file.read(offset, min(piece_nbytes, source.size - offset))
        finally:
            file.close()
        if data:
            ratios.append(len(compressor.compress(data) or data) / len(data))
    if not ratios:
        return 1.0, 1.0
    mean = math.fsum(ratios) / len(ratios)
    variance = math.fsum((ratio - mean) ** 2 for ratio in ratios) / len(ratios)
    least = max(0.0, mean - 3 * math.sqrt(variance / len(ratios)))
    if load.is_solid:
        return mean, least * _SOLID_GAIN
    # Where none of n samples is otherwise, up to three n-th of the whole may be (95%).
    stored = max(0.0, (sum(ratio >= 1.0 for ratio in ratios) - 3) / len(ratios))
    return mean, least * (stored * _STORED + (1 - stored) * _BETTER_PARSE)


def _places(load: Load, piece_nbytes: int) -> Iterator[tuple[BlobSource, int]]:
    """Yield sources and offsets of chunks in them, at even steps through all of the bytes."""
    total = load.nbytes
    count = min(_SAMPLES, _SAMPLED_NBYTES // piece_nbytes, -(-total // piece_nbytes))
    start, number = 0, 0
    for source in load.sources:
        while number < count:
            wanted = (2 * number + 1) * total // (2 * count) - start
            if wanted >= source.size:
                break
            yield source, wanted // piece_nbytes * piece_nbytes
            number += 1
        start += source.size
