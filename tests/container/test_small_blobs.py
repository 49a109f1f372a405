"""Blobs of one chunk, which are opened and decoded by a way of their own."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder
from tests.container.test_reading import check_reads, mixed_bytes
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container._small_blobs import SmallBlob
from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.wim_file import WimFile
from wimtui.engine.errors import (
    CorruptResourceError,
    ReadFailedError,
    TruncatedError,
    UnsupportedError,
    WimError,
)

if TYPE_CHECKING:
    from pathlib import Path

TEXT = b"some text that compresses well; " * 100


def store_of(path: Path, *datas: bytes, **fields: object) -> tuple[BlobStore, list[bytes]]:
    builder = WimBuilder(**{"codec": CodecId.XPRESS, **fields})  # type: ignore[arg-type]
    builder.add_image(b"metadata")
    hashes = [builder.add_blob(data) for data in datas]
    return BlobStore(WimFile.open(builder.build().write(path / "a.wim"))), hashes


@pytest.mark.parametrize("codec", [CodecId.XPRESS, CodecId.LZX, CodecId.LZMS])
@pytest.mark.parametrize("is_pipable", [False, True])
def test_every_size_reads_whole_and_in_parts(
    tmp_path: Path, codec: CodecId, is_pipable: bool
) -> None:
    noise = random.Random(1).randbytes
    datas = [b"a", TEXT, noise(5000), mixed_bytes(30_000), noise(32768), bytes(32768)]
    store, hashes = store_of(tmp_path, *datas, codec=codec, is_pipable=is_pipable)
    for sha1, data in zip(hashes, datas, strict=True):
        blob = store.open(sha1)
        # What does not compress is stored raw, in pipable files as a raw chunk.
        assert isinstance(blob, SmallBlob) or (not is_pipable and len(data) != len(TEXT))
        check_reads(blob, data, rounds=20)
        assert blob.read_nowait(0, len(data)) == data
        assert store.read_all(sha1, 1 << 20) == data
        for offset, size in ((-1, 5), (0, -1)):
            with pytest.raises(ValueError, match="negative"):
                blob.read(offset, size)
    store.close()


def test_what_is_larger_or_solid_or_raw_goes_the_long_way(tmp_path: Path) -> None:
    builder = WimBuilder(codec=CodecId.LZMS, chunk_size=1 << 17)
    builder.add_image(b"metadata")
    raw = builder.add_blob(b"raw", compress=False)
    over = builder.add_blob(bytes(65537))
    [solid] = builder.add_solid([TEXT])
    store = BlobStore(WimFile.open(builder.build().write(tmp_path / "a.wim")))
    for sha1, data in ((raw, b"raw"), (over, bytes(65537)), (solid, TEXT)):
        blob = store.open(sha1)
        assert not isinstance(blob, SmallBlob)
        assert blob.read(0, 1 << 20) == data
    store.close()


def test_a_corrupt_blob_says_where_as_often_as_it_is_read(tmp_path: Path) -> None:
    builder = WimBuilder(codec=CodecId.LZX)
    builder.add_image(b"metadata")
    sha1 = builder.add_blob(TEXT)
    good = builder.add_blob(TEXT + b"more")
    built = builder.build()
    resource = built.rows[built.row_of(sha1)].resource
    built.patch(resource.offset_in_wim, b"\xff" * resource.size_in_wim)
    store = BlobStore(WimFile.open(built.write(tmp_path / "a.wim")))
    place = f"chunk 0 of the resource at {resource.offset_in_wim}"
    blob = store.open(sha1)
    for _ in range(3):
        with pytest.raises(CorruptResourceError, match=place) as caught:
            blob.read_nowait(0, 10)
        assert caught.value.offset_in_file == resource.offset_in_wim
    assert isinstance(blob, SmallBlob)
    assert not blob.load_ahead()
    assert store.open(good).read(0, 1 << 16) == TEXT + b"more"
    store.close()


@pytest.mark.parametrize(("size_in_wim", "uncompressed_size"), [(0, 100), (101, 100), (3, 1 << 62)])
def test_impossible_sizes_are_answered_by_the_long_way(
    tmp_path: Path, size_in_wim: int, uncompressed_size: int
) -> None:
    builder = WimBuilder(codec=CodecId.XPRESS)
    builder.add_image(b"metadata")
    sha1 = builder.add_blob(TEXT)
    built = builder.build()
    built.patch_row(
        built.row_of(sha1), size_in_wim=size_in_wim, uncompressed_size=uncompressed_size
    )
    store = BlobStore(WimFile.open(built.write(tmp_path / "a.wim")))
    with pytest.raises(WimError):
        store.open(sha1).read(0, 100)
    store.close()


def test_a_file_truncated_or_closed_after_opening(tmp_path: Path) -> None:
    store, [sha1, other] = store_of(tmp_path, TEXT, TEXT[1:])
    blob, unread = store.open(sha1), store.open(other)
    with (tmp_path / "a.wim").open("r+b") as file:
        file.truncate(210)
    with pytest.raises(TruncatedError):
        blob.read(0, 10)
    store.close()
    with pytest.raises(ReadFailedError):
        unread.read(0, 10)


def test_one_object_serves_all_who_open_a_blob_at_the_same_time(tmp_path: Path) -> None:
    store, hashes = store_of(tmp_path, *(TEXT[n:] for n in range(50)))
    assert store.open(hashes[0]) is store.open(hashes[0])
    barrier = threading.Barrier(4)

    def read_all(_: int) -> bool:
        barrier.wait()
        return all(store.open(sha1).read(0, 1 << 16) == TEXT[n:] for n, sha1 in enumerate(hashes))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read_all, range(4)))
    store.close()


def test_what_was_opened_long_ago_is_let_go(tmp_path: Path) -> None:
    datas = [bytes([n % 256, n // 256]) * 16384 for n in range(200)]
    store, hashes = store_of(tmp_path, *datas)
    first = store.open(hashes[0])
    for sha1 in hashes[1:]:
        store.open(sha1)
    assert store.open(hashes[0]) is not first
    assert store.open(hashes[-1]) is store.open(hashes[-1])
    assert first.read(0, 1 << 16) == datas[0]
    store.close()


def test_blobs_decoded_ahead_are_there_when_they_are_opened(tmp_path: Path) -> None:
    store, hashes = store_of(tmp_path, *(TEXT[n:] for n in range(20)))
    asked: list[bool] = []
    done = threading.Event()

    def is_wanted() -> bool:
        asked.append(True)
        if len(asked) == 11:
            done.set()
            return False
        return True

    store.load_ahead([*hashes, bytes(20)], is_wanted)
    assert done.wait(30)
    # Nothing is left of the file: what reads well was decoded before.
    (tmp_path / "a.wim").write_bytes(b"")
    for n, sha1 in enumerate(hashes):
        blob = store.open(sha1)
        assert isinstance(blob, SmallBlob)
        assert not blob.was_read
        if n < 10:
            assert blob.read_nowait(0, 1 << 16) == TEXT[n:]
        else:
            with pytest.raises(TruncatedError):
                blob.read_nowait(0, 1 << 16)
        assert blob.was_read
    store.close()


def test_absent_hashes_are_those_of_no_file(tmp_path: Path) -> None:
    store, [sha1, other] = store_of(tmp_path, TEXT, b"other")
    unknown = random.Random(2).randbytes(20)
    assert store.absent(sha1 + unknown + other) == unknown
    assert store.absent(b"") == b""
    store.close()


def test_a_solid_flag_in_a_file_without_solid_resources_means_nothing(tmp_path: Path) -> None:
    builder = WimBuilder(codec=CodecId.XPRESS)
    builder.add_image(b"metadata")
    sha1 = builder.add_blob(TEXT)
    built = builder.build()
    row = built.row_of(sha1)
    built.patch_row(row, flags=built.rows[row].resource.flags | 0x10)
    store = BlobStore(WimFile.open(built.write(tmp_path / "a.wim")))
    try:
        assert store.open(sha1).read(0, 1 << 16) == TEXT
    except UnsupportedError:
        pytest.fail("the flag was obeyed")
    store.close()
