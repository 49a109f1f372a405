"""Resources of every shape, written and read back."""

from __future__ import annotations

import hashlib
import os
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commit.invariants import check_wim
from tests.commit.trees import TestTree
from tests.commit.ways import options, words
from tests.oracle.wims import WIMLIB, wimlib
from wimtui.engine.archive import Archive
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.codecs.factory import DecompressorPool
from wimtui.engine.commit import edit
from wimtui.engine.commit.chunk_pool import ChunkPool
from wimtui.engine.commit.disk import Disk
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import Compression
from wimtui.engine.commit.output import Output
from wimtui.engine.commit.resource_writer import ResourceWriter
from wimtui.engine.commit.sources import MemorySource
from wimtui.engine.container.file_bytes import FileBytes
from wimtui.engine.container.flags import ResourceFlag
from wimtui.engine.container.resource_reader import open_resource, read_whole
from wimtui.engine.errors import WriteFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from wimtui.engine.container.resource import ResourceHeader

CHUNK = 4096
SIZES = [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 1, 40 * CHUNK + 7]


def blobs() -> list[bytes]:
    rng = random.Random(9)
    made = []
    for size in SIZES:
        made += [bytes(size), rng.randbytes(size), words(size, size)]
        half = rng.randbytes(size // 2)
        made.append(half + bytes(size - len(half)))
    return made


def write_all(
    path: Path, data: list[bytes], codec: CodecId, chunk_size: int
) -> list[ResourceHeader]:
    places: dict[int, ResourceHeader] = {}
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        output = Output(Disk(), fd, str(path), 0)
        output.append(bytes(208))
        counted: list[int] = []
        pool = None if codec is CodecId.NONE else ChunkPool(codec, chunk_size, 20, worker_count=2)
        writer = ResourceWriter(
            output, pool, on_bytes=lambda nbytes, source: counted.append(nbytes)
        )
        for number, blob in enumerate(data):

            def done(place: ResourceHeader, number: int = number) -> None:
                places[number] = place

            digest = hashlib.sha1(blob).digest()
            writer.add(MemorySource(blob), digest, ResourceFlag.NONE, done)
        writer.flush()
        output.flush()
        if pool is not None:
            pool.close()
        assert sum(counted) == sum(map(len, data))
        assert os.fstat(fd).st_size >= output.position
        os.ftruncate(fd, output.position)
    finally:
        os.close(fd)
    return [places[number] for number in range(len(data))]


def read_all(
    path: Path, places: list[ResourceHeader], codec: CodecId, chunk_size: int
) -> list[bytes]:
    file = FileBytes(path)
    try:
        pool = DecompressorPool()
        return [
            read_whole(open_resource(file, place, codec=codec, chunk_size=chunk_size), pool)
            for place in places
        ]
    finally:
        file.close()


@pytest.mark.parametrize(
    ("codec", "chunk_size"),
    [
        (CodecId.NONE, 0), (CodecId.XPRESS, 4096), (CodecId.XPRESS, 65536),
        (CodecId.LZX, 32768), (CodecId.LZMS, 32768),
    ],
)  # fmt: skip
def test_round_trip(tmp_path: Path, codec: CodecId, chunk_size: int) -> None:
    data = blobs()
    places = write_all(tmp_path / "x", data, codec, chunk_size)
    assert read_all(tmp_path / "x", places, codec, chunk_size) == data
    end = 208
    for place, blob in zip(places, data, strict=True):
        assert place.offset_in_wim == end, "no holes"
        end = place.end_in_wim
        assert place.uncompressed_size == len(blob)
        compressed = bool(place.flags & ResourceFlag.COMPRESSED)
        assert (place.size_in_wim < len(blob)) == compressed
        assert place.size_in_wim <= len(blob)
    assert (tmp_path / "x").stat().st_size == end


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 5 * CHUNK), st.booleans(), st.integers(0, 5)),
        min_size=1,
        max_size=12,
    )
)
def test_any_mixture(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[int, bool, int]]
) -> None:
    path = tmp_path_factory.mktemp("mixture") / "x"
    data = []
    for size, is_random, repeats in shapes:
        rng = random.Random(size)
        blob = rng.randbytes(size) if is_random else words(size, size)
        data.append(blob + blob[:100] * repeats)
    places = write_all(path, data, CodecId.XPRESS, CHUNK)
    assert read_all(path, places, CodecId.XPRESS, CHUNK) == data


def test_data_that_changes_between_hash_and_write(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    output = Output(Disk(), fd, "x", 0)
    writer = ResourceWriter(output, None, on_bytes=lambda nbytes, source: None)
    with pytest.raises(WriteFailedError, match="changed while"):
        writer.add(MemorySource(b"abc"), bytes(20), ResourceFlag.NONE, lambda place: None)
    os.close(fd)


class Zeros:
    """Four GiB and some, without the memory."""

    def __init__(self, size: int) -> None:
        self.size = size

    def shown_path(self) -> str:
        return ""

    def open(self) -> Zeros:
        return self

    def read(self, offset: int, size: int) -> bytes:
        return bytes(min(size, self.size - offset))

    read_nowait = read

    def close(self) -> None:
        pass


@pytest.mark.slow
def test_table_entries_of_eight_bytes(tmp_path: Path) -> None:
    size = 1 << 32
    path = tmp_path / "a.wim"
    tree = TestTree()
    tree.add("/zeros", Zeros(size))
    compression = Compression(CodecId.XPRESS, 1 << 16, 1)
    edit.create(str(path), tree, ImageProperties("big"), options(compression=compression))
    with Archive.open(path) as archive:
        table = archive.wim.blob_table
        (row,) = table.blob_rows()
        place = table.row(row).resource
        chunks = size >> 16
        file = archive.wim.file
        first = file.read(place.offset_in_wim, 16, "table")
        stored = int.from_bytes(first[:8], "little")
        assert int.from_bytes(first[8:], "little") == 2 * stored
        assert place.size_in_wim > (chunks - 1) * 8
    check_wim(path, fresh=True)
    if WIMLIB is not None:
        wimlib("verify", path)
