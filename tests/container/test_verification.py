"""Integrity tables and the verification of blobs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder, sha1_of
from tests.container.test_reading import mixed_bytes
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.file_bytes import FileBytes
from wimtui.engine.container.integrity import (
    DEFAULT_PIECE_SIZE,
    IntegrityTable,
    compute_table,
    covered_nbytes,
)
from wimtui.engine.container.resource import ResourceHeader
from wimtui.engine.container.resource_reader import ChunkedResource
from wimtui.engine.container.verify import verify_blobs
from wimtui.engine.container.wim_file import OpenOptions, WimFile, check_integrity
from wimtui.engine.errors import (
    BlobHashError,
    CancelledError,
    CorruptResourceError,
    IntegrityError,
    IntegrityTableError,
    TruncatedError,
)
from wimtui.engine.progress import CancelToken, Phase, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wimtui.engine.codecs.factory import DecompressorPool


def _builder(**fields: object) -> WimBuilder:
    builder = WimBuilder(**fields)  # type: ignore[arg-type]
    builder.add_image(b"metadata" * 500)
    return builder


def test_integrity(tmp_path: Path) -> None:
    builder = _builder(integrity_piece_size=4096)
    builder.add_blob(mixed_bytes(100_000))
    built = builder.build()
    path = built.write(tmp_path / "a.wim")
    seen: list[Progress] = []
    with WimFile.open(path) as wim:
        assert check_integrity(wim, seen.append)
        table = wim.integrity_table()
        assert table is not None
        assert table.piece_size_to_keep == 4096
    assert seen[-1].phase is Phase.INTEGRITY
    assert seen[-1].bytes_done == seen[-1].bytes_total == built.header.blob_table.end_in_wim - 208
    last_covered = built.header.blob_table.end_in_wim - 1
    for offset, is_covered in [(207, False), (208, True), (5000, True), (last_covered, True)]:
        broken = bytearray(built.data)
        broken[offset] ^= 1
        path.write_bytes(broken)
        if is_covered:
            with pytest.raises(IntegrityError, match=f"piece {(offset - 208) // 4096} "):
                WimFile.open(path, OpenOptions(check_integrity=True))
        else:
            WimFile.open(path, OpenOptions(check_integrity=True)).close()


def test_the_integrity_check_comes_before_xml_and_blob_table(tmp_path: Path) -> None:
    built = _builder(integrity_piece_size=4096, xml="<broken").build()
    built.patch(300, b"?")
    with pytest.raises(IntegrityError):
        WimFile.open(built.write(tmp_path / "a.wim"), OpenOptions(check_integrity=True))


def test_an_absent_or_malformed_integrity_table(tmp_path: Path) -> None:
    path = _builder().build().write(tmp_path / "a.wim")
    with WimFile.open(path, OpenOptions(check_integrity=True)) as wim:
        assert wim.warnings == ("there is no integrity table to check",)
        assert not check_integrity(wim)
    built = _builder(integrity_piece_size=4096).build()
    place = built.header.integrity
    built.patch_header(
        integrity=ResourceHeader(place.size_in_wim, place.flags, 250, place.uncompressed_size)
    )
    options = OpenOptions(check_integrity=True)
    path = built.write(tmp_path / "b.wim")
    with pytest.raises(IntegrityTableError):
        WimFile.open(path, options)
    built.patch_header(integrity=ResourceHeader(32, place.flags, 1 << 40, 32))
    path = built.write(tmp_path / "b.wim")
    with pytest.raises(TruncatedError):
        WimFile.open(path, options)


def test_integrity_check_can_be_cancelled(tmp_path: Path) -> None:
    builder = _builder(integrity_piece_size=4096)
    builder.add_blob(mixed_bytes(100_000))
    cancel = CancelToken()
    cancel.cancel()
    path = builder.build().write(tmp_path / "a.wim")
    with pytest.raises(CancelledError):
        WimFile.open(path, OpenOptions(check_integrity=True, cancel=cancel))


@pytest.mark.parametrize(
    ("old", "new"), [(0, 5), (10, 10), (9000, 9000), (8192, 9000), (9000, 20_000)]
)
def test_digests_are_reused_after_an_append(tmp_path: Path, old: int, new: int) -> None:
    path = tmp_path / "a"
    data = mixed_bytes(208 + new)
    path.write_bytes(data)
    file = FileBytes(path)
    before = compute_table(file, old, piece_size=4096)
    wanted = [
        hashlib.sha1(data[208:][start : start + 4096]).digest() for start in range(0, new, 4096)
    ]
    assert compute_table(file, new, piece_size=4096).digests == b"".join(wanted)
    after = compute_table(file, new, piece_size=4096, old=before, old_covered=old)
    assert after.digests == b"".join(wanted)
    lies = IntegrityTable(4096, bytes(len(before.digests)))
    reused = compute_table(file, new, piece_size=4096, old=lies, old_covered=old)
    count = before.piece_count if old == new else old // 4096
    assert reused.digests == bytes(20 * count) + b"".join(wanted[count:])
    file.close()


def test_piece_size_of_the_next_table() -> None:
    assert IntegrityTable(1 << 28, bytes(20)).piece_size_to_keep == DEFAULT_PIECE_SIZE
    assert IntegrityTable(1 << 20, b"").piece_size_to_keep == DEFAULT_PIECE_SIZE
    with pytest.raises(IntegrityTableError):
        covered_nbytes(ResourceHeader(10, ResourceHeader.parse(bytes(24)).flags, 100, 10))


@pytest.mark.parametrize("codec", CodecId)
def test_all_good(tmp_path: Path, codec: CodecId) -> None:
    builder = _builder(codec=codec)
    sizes = (1, 40_000, 3_000_000, 131_072, 77)
    for size in sizes:
        builder.add_blob(mixed_bytes(size, size))
    solid = (5, 200_000, 2_500_000, 9)
    builder.add_solid([mixed_bytes(size, size + 1) for size in solid])
    seen: list[Progress] = []
    store = BlobStore(WimFile.open(builder.build().write(tmp_path / "a.wim")))
    assert verify_blobs(store, seen.append) == []
    total = 4000 + sum(sizes) + sum(solid)
    assert (seen[-1].bytes_done, seen[-1].bytes_total) == (total, total)
    assert (seen[-1].items_done, seen[-1].items_total) == (10, 10)
    store.close()


def test_all_bad_blobs_are_found(tmp_path: Path) -> None:
    builder = _builder(codec=CodecId.XPRESS)
    good = builder.add_blob(mixed_bytes(50_000, 1))
    wrong = builder.add_blob(mixed_bytes(60_000, 2), sha1=b"w" * 20)
    outside = builder.add_blob(b"outside")
    long_bad = builder.add_blob(b"abcd" * 1_000_000)
    small = [mixed_bytes(50_000, seed) for seed in range(10, 16)]
    builder.add_solid(small, codec=CodecId.XPRESS, chunk_size=32768)
    built = builder.build()
    built.patch_row(built.row_of(outside), offset_in_wim=1 << 40)
    place = built.rows[built.row_of(long_bad)].resource
    built.patch(place.end_in_wim - 100, b"\xff" * 90)
    solid = built.solid_offsets[0]
    table = 16 + 4 * -(-300_000 // 32768)
    built.patch(solid + table + 32768, b"\xff" * 3000)
    store = BlobStore(WimFile.open(built.write(tmp_path / "a.wim")))
    bad = {blob.info.sha1: blob.error for blob in verify_blobs(store)}
    assert good not in bad
    assert all(error.__traceback__ is None for error in bad.values())
    assert all(error.__cause__ is None for error in bad.values())
    assert isinstance(bad[wrong], BlobHashError)
    assert isinstance(bad[outside], TruncatedError)
    assert isinstance(bad[long_bad], (CorruptResourceError, BlobHashError))
    bad_solid = {position for position, data in enumerate(small) if sha1_of(data) in bad}
    assert bad_solid <= {0, 1, 2}
    assert bad_solid
    assert len(bad) == 3 + len(bad_solid)
    store.close()


@pytest.mark.parametrize("codec", [CodecId.NONE, CodecId.LZX])
def test_places_that_cannot_be_are_not_tried_piece_by_piece(tmp_path: Path, codec: CodecId) -> None:
    builder = _builder(codec=codec)
    outside = builder.add_blob(b"outside" * 10)
    in_header = builder.add_blob(b"in the header" * 10)
    small = [mixed_bytes(50_000, seed) for seed in range(3)]
    builder.add_solid(small)
    built = builder.build()
    size = 1 << (54 if codec is CodecId.NONE else 60)
    built.patch_row(
        built.row_of(outside), offset_in_wim=208, size_in_wim=1 << 54, uncompressed_size=size
    )
    built.patch_row(built.row_of(in_header), offset_in_wim=0)
    [solid] = [row for row, entry in enumerate(built.rows) if entry.sha1 == bytes(20)]
    built.patch_row(solid, size_in_wim=1 << 54)
    seen: list[Progress] = []
    with WimFile.open(built.write(tmp_path / "a.wim")) as wim:
        store = BlobStore(wim)
        bad = {blob.info.sha1: blob.error for blob in verify_blobs(store, seen.append)}
        store.close()
    assert type(bad.pop(outside)) is TruncatedError
    assert type(bad.pop(in_header)) is CorruptResourceError
    assert {type(error) for error in bad.values()} == {TruncatedError}
    assert set(bad) == {sha1_of(data) for data in small}


def test_little_is_decoded_of_a_blob_once_it_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = _builder(codec=CodecId.XPRESS)
    builder.add_blob(bytes(160 << 20), sha1=b"b" * 20)
    after = builder.add_blob(mixed_bytes(3_000_000))
    built = builder.build()
    place = built.rows[0].resource if built.rows[0].sha1 == b"b" * 20 else built.rows[1].resource
    built.patch(place.offset_in_wim + 4 * (160 * 32 - 1), b"\xff" * 40)
    decoded = []
    chunks = ChunkedResource.chunks

    def counting(
        self: ChunkedResource, first: int, last: int, decompressors: DecompressorPool
    ) -> Iterator[bytes]:
        decoded.append(first)
        return chunks(self, first, last, decompressors)

    monkeypatch.setattr(ChunkedResource, "chunks", counting)
    seen: list[Progress] = []
    store = BlobStore(WimFile.open(built.write(tmp_path / "a.wim")))
    bad = verify_blobs(store, seen.append)
    store.close()
    assert [blob.info.sha1 for blob in bad] == [b"b" * 20]
    assert isinstance(bad[0].error, CorruptResourceError)
    assert after not in {blob.info.sha1 for blob in bad}
    assert seen[-1].bytes_done == seen[-1].bytes_total
    assert len(decoded) < 120


def test_verification_can_be_cancelled(tmp_path: Path) -> None:
    builder = _builder()
    builder.add_blob(mixed_bytes(100_000))
    store = BlobStore(WimFile.open(builder.build().write(tmp_path / "a.wim")))
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        verify_blobs(store, cancel=cancel)
    store.close()
