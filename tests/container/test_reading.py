"""Random reads of blobs, and chunk tables that lie."""

from __future__ import annotations

import random
import struct
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder, sha1_of, store_raw
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.codecs.factory import DecompressorPool
from wimtui.engine.container import chunk_table
from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.chunk_cache import ChunkCache
from wimtui.engine.container.chunk_loader import ChunkLoader
from wimtui.engine.container.chunk_table import ChunkLayout, ChunkTable
from wimtui.engine.container.file_bytes import FileBytes
from wimtui.engine.container.resource_reader import ChunkedResource
from wimtui.engine.container.wim_file import WimFile
from wimtui.engine.errors import (
    BlobHashError,
    CorruptResourceError,
    ReadFailedError,
    TruncatedError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from wimtui.engine.tree import OpenFile


def mixed_bytes(size: int, seed: int = 1) -> bytes:
    """Data of which some chunks compress and some do not."""
    generator = random.Random(seed)
    pieces: list[bytes] = []
    total = 0
    while total < size:
        length = generator.randrange(1, 40_000)
        if generator.random() < 0.4:
            piece = generator.randbytes(length)
        else:
            piece = (generator.randbytes(generator.randrange(1, 50)) * length)[:length]
        pieces.append(piece)
        total += len(piece)
    return b"".join(pieces)[:size]


def check_reads(blob: OpenFile, whole: bytes, *, seed: int = 2, rounds: int = 60) -> None:
    """Compare reads of every kind with the same slices of the whole."""
    generator = random.Random(seed)
    size = len(whole)
    reads = [(0, size), (0, 1), (size - 1, 10), (size, 1), (size + 5, 5), (0, 0), (3, 2 * size)]
    for _ in range(rounds):
        offset = generator.randrange(size + 10)
        reads.append((offset, generator.choice([1, 4096, 32768, 131072, 1 << 20])))
    for offset, length in reads:
        wanted = whole[offset : offset + length]
        assert blob.read_nowait(offset, length) in (None, wanted)
        assert blob.read(offset, length) == wanted
        assert blob.read_nowait(offset, length) in (None, wanted)
    for offset in range(0, size, 100_000):
        assert blob.read(offset, 100_000) == whole[offset : offset + 100_000]
    with pytest.raises(ValueError, match="negative"):
        blob.read(-1, 10)


@pytest.mark.parametrize("is_pipable", [False, True])
@pytest.mark.parametrize(
    ("codec", "chunk_size"),
    [
        (CodecId.NONE, None),
        (CodecId.XPRESS, None),
        (CodecId.XPRESS, 4096),
        (CodecId.XPRESS, 65536),
        (CodecId.LZX, None),
        (CodecId.LZX, 1 << 20),
        (CodecId.LZMS, None),
    ],
)
def test_reads_of_blobs_on_their_own(
    tmp_path: Path, codec: CodecId, chunk_size: int | None, is_pipable: bool
) -> None:
    builder = WimBuilder(codec=codec, chunk_size=chunk_size, is_pipable=is_pipable)
    builder.add_image(b"metadata")
    unit = chunk_size or 32768
    blobs = [mixed_bytes(size, size) for size in (1, unit - 1, unit, unit + 1, 2 * unit, 600_000)]
    for data in blobs:
        builder.add_blob(data)
    path = builder.build().write(tmp_path / "a.wim")
    with ChunkLoader(ChunkCache(1 << 18)) as small:
        for loader in (None, small):
            store = BlobStore(WimFile.open(path), loader=loader)
            for data in blobs:
                blob = store.open(sha1_of(data))
                check_reads(blob, data, rounds=20)
                blob.close()
            store.close()


@pytest.mark.parametrize(
    ("codec", "chunk_size"),
    [
        (CodecId.XPRESS, 4096),
        (CodecId.LZX, 32768),
        (CodecId.LZMS, 1 << 17),
        (CodecId.LZMS, 1 << 20),
    ],
)
def test_reads_of_blobs_in_solid_resources(tmp_path: Path, codec: CodecId, chunk_size: int) -> None:
    blobs = [mixed_bytes(size, size) for size in (1, 70_000, 131_072, 3, 400_000, 12_345)]
    builder = WimBuilder(codec=CodecId.LZX)
    builder.add_image(b"metadata")
    builder.add_solid(blobs[:4], blobs[4:], codec=codec, chunk_size=chunk_size)
    store = BlobStore(WimFile.open(builder.build().write(tmp_path / "a.wim")))
    for data in blobs:
        check_reads(store.open(sha1_of(data)), data, rounds=20)
    store.close()


@pytest.mark.parametrize(("is_solid", "is_pipable"), [(False, False), (True, False), (False, True)])
def test_tables_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_solid: bool, is_pipable: bool
) -> None:
    monkeypatch.setattr(chunk_table, "PIECE_CHUNKS", 8)
    monkeypatch.setattr(chunk_table, "_MAX_PIECES", 2)
    data = mixed_bytes(4096 * 53 + 17)
    builder = WimBuilder(codec=CodecId.XPRESS, chunk_size=4096, is_pipable=is_pipable)
    builder.add_image(b"metadata")
    if is_solid:
        builder.add_solid([data], codec=CodecId.XPRESS, chunk_size=4096)
    else:
        builder.add_blob(data)
    store = BlobStore(
        WimFile.open(builder.build().write(tmp_path / "a.wim")),
        loader=ChunkLoader(ChunkCache(8192)),
    )
    check_reads(store.open(sha1_of(data)), data, rounds=30)
    store.loader.close()
    store.close()


@pytest.mark.parametrize("uncompressed_size", [(1 << 32) - 1, 1 << 32, (1 << 32) + 5])
def test_wide_tables(tmp_path: Path, uncompressed_size: int) -> None:
    """Resources around 4 GiB, of raw chunks in a sparse file."""
    chunk_size = 1 << 21
    count = -(-uncompressed_size // chunk_size)
    width = 8 if uncompressed_size >= 1 << 32 else 4
    table_nbytes = (count - 1) * width
    offset = 1000
    offsets = [chunk_size * chunk for chunk in range(1, count)]
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(offset)
        file.write(struct.pack(f"<{count - 1}{'Q' if width == 8 else 'I'}", *offsets))
        for position in (0, chunk_size - 3, uncompressed_size - 8):
            file.seek(offset + table_nbytes + position)
            file.write(b"MARKED!!")
    source = FileBytes(path)
    layout = ChunkLayout.of_plain(
        offset, table_nbytes + uncompressed_size, uncompressed_size, chunk_size, path=str(path)
    )
    assert (layout.entry_nbytes, layout.chunk_count) == (width, count)
    resource = ChunkedResource(source, CodecId.LZX, layout)
    pool = DecompressorPool()
    first, second = resource.chunks(0, 1, pool)
    assert first.startswith(b"MARKED!!")
    assert (first + second)[chunk_size - 3 : chunk_size + 5] == b"MARKED!!"
    *_, before, last = resource.chunks(count - 3, count - 1, pool)
    assert (before + last)[-8:] == b"MARKED!!"
    source.close()


def test_places_are_contiguous(tmp_path: Path) -> None:
    data = mixed_bytes(500_000)
    builder = WimBuilder(codec=CodecId.XPRESS)
    builder.add_image(b"metadata")
    sha1 = builder.add_blob(data)
    built = builder.build()
    resource = built.rows[built.row_of(sha1)].resource
    file = FileBytes(built.write(tmp_path / "a.wim"))
    layout = ChunkLayout.of_plain(
        resource.offset_in_wim, resource.size_in_wim, len(data), 32768, path=""
    )
    places = ChunkTable(file, layout).places(0, layout.chunk_count - 1)
    assert places[0].offset_in_wim == resource.offset_in_wim + 4 * 15
    assert all(a.offset_in_wim + a.stored_size == b.offset_in_wim for a, b in pairwise(places))
    assert places[-1].offset_in_wim + places[-1].stored_size == resource.end_in_wim
    file.close()


@pytest.mark.parametrize("entry", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 32768 * 4])
def test_chunk_tables_that_lie(tmp_path: Path, entry: int) -> None:
    data = mixed_bytes(200_000)
    builder = WimBuilder(codec=CodecId.XPRESS)
    builder.add_image(b"metadata")
    sha1 = builder.add_blob(data)
    built = builder.build()
    resource = built.rows[built.row_of(sha1)].resource
    built.patch(resource.offset_in_wim + 4 * 3, struct.pack("<I", entry))
    store = BlobStore(WimFile.open(built.write(tmp_path / "a.wim")))
    blob = store.open(sha1)
    assert blob.read(0, 3 * 32768) == data[: 3 * 32768]
    assert blob.read(5 * 32768, 32768) == data[5 * 32768 : 6 * 32768]
    with pytest.raises(CorruptResourceError, match=f"resource at {resource.offset_in_wim}"):
        store.read_all(sha1, 1 << 20)
    store.close()


def test_a_bad_chunk_spoils_only_its_own_range(tmp_path: Path) -> None:
    data = bytes(range(256)) * 128 * 20
    builder = WimBuilder(codec=CodecId.XPRESS)
    builder.add_image(b"metadata")
    sha1 = builder.add_blob(data)
    built = builder.build()
    resource = built.rows[built.row_of(sha1)].resource
    file = FileBytes(built.write(tmp_path / "a.wim"))
    layout = ChunkLayout.of_plain(
        resource.offset_in_wim, resource.size_in_wim, len(data), 32768, path=""
    )
    place = ChunkTable(file, layout).places(7, 7)[0]
    file.close()
    built.patch(place.offset_in_wim, b"\xff" * 256)
    store = BlobStore(WimFile.open(built.write(tmp_path / "a.wim")))
    blob = store.open(sha1)
    for _ in range(2):
        with pytest.raises(CorruptResourceError, match="chunk 7 of the resource") as caught:
            blob.read(0, len(data))
        assert caught.value.offset_in_file == place.offset_in_wim
        for chunk in range(20):
            if chunk != 7:
                start = chunk * 32768
                assert blob.read(start, 32768) == data[start : start + 32768]
    store.close()


def test_a_file_truncated_after_opening(tmp_path: Path) -> None:
    builder = WimBuilder(codec=CodecId.XPRESS)
    builder.add_image(b"metadata")
    compressed = builder.add_blob(mixed_bytes(300_000))
    raw = builder.add_blob(mixed_bytes(300_000, 9), compress=False)
    path = builder.build().write(tmp_path / "a.wim")
    store = BlobStore(WimFile.open(path))
    with path.open("r+b") as file:
        file.truncate(1000)
    for sha1 in (compressed, raw):
        with pytest.raises(TruncatedError):
            store.open(sha1).read(100_000, 100_000)
    store.close()
    with pytest.raises(ReadFailedError):
        store.main.file.read(0, 10, "header")


def test_read_nowait_decodes_one_small_chunk_and_leaves_the_rest(tmp_path: Path) -> None:
    data = bytes(1 << 20)
    builder = WimBuilder(codec=CodecId.XPRESS)
    builder.add_image(b"metadata")
    sha1 = builder.add_blob(data)
    store = BlobStore(WimFile.open(builder.build().write(tmp_path / "a.wim")))
    blob = store.open(sha1)
    assert blob.read_nowait(500_000, 4096) == bytes(4096)
    assert blob.read_nowait(0, 65536) is None
    assert blob.read(0, 65536) == bytes(65536)
    assert blob.read_nowait(0, 65536) == bytes(65536)
    store.close()


def test_many_threads_with_a_small_cache(tmp_path: Path) -> None:
    blobs = [mixed_bytes(400_000, seed) for seed in range(4)]
    builder = WimBuilder(codec=CodecId.XPRESS)
    builder.add_image(b"metadata")
    for data in blobs[:2]:
        builder.add_blob(data)
    builder.add_solid(blobs[2:], codec=CodecId.XPRESS, chunk_size=32768)
    path = builder.build().write(tmp_path / "a.wim")
    with ChunkLoader(ChunkCache(1 << 18), worker_count=3) as loader:
        store = BlobStore(WimFile.open(path), loader=loader)
        opened = [store.open(sha1_of(data)) for data in blobs]
        with ThreadPoolExecutor(8) as threads:
            tasks = [
                threads.submit(check_reads, opened[n % 4], blobs[n % 4], seed=n, rounds=20)
                for n in range(16)
            ]
            for task in tasks:
                task.result(60)
        store.close()


def test_wrong_hash(tmp_path: Path) -> None:
    builder = WimBuilder(codec=CodecId.NONE, compress=store_raw)
    builder.add_image(b"metadata")
    builder.add_blob(b"data", sha1=b"x" * 20)
    store = BlobStore(WimFile.open(builder.build().write(tmp_path / "a.wim")))
    with pytest.raises(BlobHashError, match="7878"):
        store.read_all(b"x" * 20, 100)
