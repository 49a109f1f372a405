"""How rows of the blob table are classified, rule by rule (format reference 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder, sha1_of, store_raw
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.blob_table import BlobRow
from wimtui.engine.container.flags import EMPTY_HASH, ResourceFlag, WimVersion
from wimtui.engine.container.limits import Limits
from wimtui.engine.container.resource import ResourceHeader
from wimtui.engine.container.solid import SolidHeader
from wimtui.engine.container.wim_file import OpenOptions, WimFile
from wimtui.engine.errors import (
    BlobTableError,
    ChunkSizeError,
    CompressionTypeError,
    LimitError,
    PipableError,
    TruncatedError,
)

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = b"a" * 100, b"b" * 200, b"c" * 300


def _builder() -> WimBuilder:
    builder = WimBuilder(compress=store_raw)
    builder.add_image(b"metadata")
    for data in (A, B, C):
        builder.add_blob(data)
    return builder


def _row(
    flags: int = 0, *, size: int = 8, references: int = 1, sha1: bytes = b"x" * 20, part: int = 1
) -> BlobRow:
    return BlobRow(ResourceHeader(size, ResourceFlag(flags), 208, size), part, references, sha1)


def test_rows_are_found_by_hash(tmp_path: Path) -> None:
    with WimFile.open(_builder().build().write(tmp_path / "a.wim")) as wim:
        table = wim.blob_table
        assert [table.find(sha1_of(data)) for data in (A, B, C)] == [1, 2, 3]
        assert table.find(sha1_of(b"metadata")) == -1
        assert table.find(b"short") == -1
        assert table.metadata_rows == [0]
        assert list(table.blob_rows()) == [1, 2, 3]
        assert table.blob_count == 3
        assert [table.size(row) for row in (1, 2, 3)] == [100, 200, 300]
        assert wim.warnings == ()


def test_a_limit_of_solid_resources(tmp_path: Path) -> None:
    builder = _builder()
    builder.add_solid([A + B], [B + C])
    path = builder.build().write(tmp_path / "a.wim")
    WimFile.open(path, OpenOptions(limits=Limits(solid_resources=2))).close()
    with pytest.raises(LimitError, match="2 solid resources"):
        WimFile.open(path, OpenOptions(limits=Limits(solid_resources=1)))


def test_a_trailing_fragment_is_ignored(tmp_path: Path) -> None:
    built = _builder().build()
    place = built.header.blob_table
    size = place.size_in_wim - 30
    built.patch_header(blob_table=ResourceHeader(size, place.flags, place.offset_in_wim, size))
    with WimFile.open(built.write(tmp_path / "a.wim")) as wim:
        assert wim.blob_table.row_count == 3
        assert wim.warnings == ("the last 20 bytes of the blob table are no entry",)


@pytest.mark.parametrize(
    ("row", "warning"),
    [
        (_row(sha1=EMPTY_HASH), None),
        (_row(size=0), "1 blob table entries ignored: they hold no data"),
        (_row(part=2), "1 blob table entries ignored: they belong to another part"),
        (_row(0x02, references=0), None),
        (_row(0x02), "1 blob table entries ignored: they are metadata beyond the image count"),
        (
            _row(sha1=sha1_of(A)),
            "1 blob table entries ignored: they repeat the hash of an earlier entry",
        ),
    ],
)
def test_ignored_rows(tmp_path: Path, row: BlobRow, warning: str | None) -> None:
    builder = _builder()
    builder.extra_rows.append(row)
    with WimFile.open(builder.build().write(tmp_path / "a.wim")) as wim:
        assert wim.blob_table.blob_count == 3
        assert wim.blob_table.metadata_rows == [0]
        assert wim.blob_table.find(sha1_of(A)) == 1
        assert wim.warnings == (() if warning is None else (warning,))


def test_metadata_of_a_later_part_is_ignored(tmp_path: Path) -> None:
    builder = _builder()
    builder.part_number = builder.total_parts = 2
    with WimFile.open(builder.build().write(tmp_path / "a.swm")) as wim:
        assert wim.blob_table.metadata_rows == []
        assert "metadata in a later part" in wim.warnings[0]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"size_in_wim": 99}, "differ"),
        ({"uncompressed_size": 101}, "differ"),
        ({"flags": 0x02, "reference_count": 2}, "more than one reference"),
    ],
)
def test_impossible_rows(tmp_path: Path, fields: dict[str, int], reason: str) -> None:
    built = _builder().build().patch_row(1, **fields)
    with pytest.raises(BlobTableError, match=reason) as caught:
        WimFile.open(built.write(tmp_path / "a.wim"))
    assert caught.value.structure == "blob table entry 1"
    assert caught.value.offset_in_file == built.rows_offset + 50


@pytest.mark.parametrize(
    "fields",
    [{"offset_in_wim": 100}, {"offset_in_wim": 1 << 40}, {"offset_in_wim": 2**64 - 50}],
)
def test_a_place_outside_the_file_spoils_only_its_blob(
    tmp_path: Path, fields: dict[str, int]
) -> None:
    built = _builder().build().patch_row(1, **fields)
    with WimFile.open(built.write(tmp_path / "a.wim")) as wim:
        assert not wim.blob_table.index.is_usable(1)
        assert wim.blob_table.index.is_usable(2)
        store = BlobStore(wim)
        assert store.size(sha1_of(A)) == 100
        assert store.read_all(sha1_of(B), 1000) == B
        if fields["offset_in_wim"] > 208:
            with pytest.raises(TruncatedError):
                store.read_all(sha1_of(A), 1000)
        store.close()


def test_solid_flag_means_nothing_in_the_old_version(tmp_path: Path) -> None:
    built = _builder().build().patch_row(1, flags=0x10)
    with WimFile.open(built.write(tmp_path / "a.wim")) as wim:
        assert wim.blob_table.solid_of(1) is None
        store = BlobStore(wim)
        assert store.read_all(sha1_of(A), 1000) == A


def test_logical_offsets_run_over_the_resources_of_a_run(tmp_path: Path) -> None:
    builder = WimBuilder(compress=store_raw)
    builder.add_image(b"metadata")
    builder.add_solid([A, B], [C, A + B], reverse_blobs=True, entries_first=False)
    builder.add_blob(b"between")
    builder.add_solid([B + C], [C + A])
    with WimFile.open(builder.build().write(tmp_path / "a.wim")) as wim:
        store = BlobStore(wim)
        for data in (A, B, C, A + B, b"between", B + C, C + A):
            assert store.read_all(sha1_of(data), 10**6) == data
        info = store.describe(sha1_of(C + A))
        assert info is not None
        assert info.solid is not None
        assert (info.solid.run, info.offset, info.offset_in_resource) == (1, 500, 0)
        assert store.stored_size(sha1_of(C + A)) == 400


@pytest.mark.parametrize(
    ("row", "fields", "reason"),
    [
        (2, {"offset_in_wim": 550}, "in no solid resource"),
        (2, {"offset_in_wim": 2**64 - 10}, "in no solid resource"),
        (2, {"size_in_wim": 601}, "in no solid resource"),
        (3, {"offset_in_wim": 50}, "overlaps"),
        (2, {"flags": 0x12}, "inside a solid"),
        (1, {"uncompressed_size": 0}, "in no solid resource"),
    ],
)
def test_impossible_solid_rows(
    tmp_path: Path, row: int, fields: dict[str, int], reason: str
) -> None:
    builder = WimBuilder(compress=store_raw)
    builder.add_image(b"metadata")
    builder.add_solid([A, B, C])
    built = builder.build().patch_row(row, **fields)
    with pytest.raises(BlobTableError, match=reason):
        WimFile.open(built.write(tmp_path / "a.wim"))


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (SolidHeader(600, 1 << 17, 0), CompressionTypeError),
        (SolidHeader(600, 1 << 17, 4), CompressionTypeError),
        (SolidHeader(600, 100_000, 3), ChunkSizeError),
        (SolidHeader(600, 0, 3), ChunkSizeError),
        (SolidHeader(600, 1 << 12, 2), ChunkSizeError),
        (SolidHeader(600, 1 << 27, 3), LimitError),
        (SolidHeader(1 << 40, 1 << 17, 3), BlobTableError),
        (SolidHeader(2**64 - 1, 1 << 26, 3), BlobTableError),
    ],
)
def test_impossible_solid_headers(
    tmp_path: Path, header: SolidHeader, error: type[Exception]
) -> None:
    builder = WimBuilder(compress=store_raw)
    builder.add_image(b"metadata")
    builder.add_solid([A, B, C])
    built = builder.build()
    built.patch(built.solid_offsets[0], header.pack())
    path = built.write(tmp_path / "a.wim")
    with pytest.raises(error) as caught:
        WimFile.open(path)
    assert "solid resource of blob table entry 1" in str(caught.value)


def test_the_chunk_limit_can_be_raised(tmp_path: Path) -> None:
    builder = WimBuilder(compress=store_raw)
    builder.add_image(b"metadata")
    builder.add_solid([A, B, C])
    built = builder.build()
    built.patch(built.solid_offsets[0], SolidHeader(600, 1 << 27, 3).pack())
    options = OpenOptions(limits=Limits(chunk_size=1 << 27))
    with WimFile.open(built.write(tmp_path / "a.wim"), options) as wim:
        assert wim.blob_table.solids[0].chunk_size == 1 << 27


def test_solid_header_outside_the_file(tmp_path: Path) -> None:
    builder = WimBuilder(compress=store_raw)
    builder.add_image(b"metadata")
    builder.add_solid([A, B, C])
    built = builder.build().patch_row(1, offset_in_wim=1 << 30)
    with pytest.raises(TruncatedError):
        WimFile.open(built.write(tmp_path / "a.wim"))


def test_pipable_files_have_no_solid_resources(tmp_path: Path) -> None:
    builder = WimBuilder(compress=store_raw, is_pipable=True)
    builder.add_image(b"metadata")
    builder.add_solid([A, B, C])
    with pytest.raises(PipableError):
        WimFile.open(builder.build().write(tmp_path / "a.wim"))


def test_a_compressed_blob_too_small_for_its_chunks(tmp_path: Path) -> None:
    builder = WimBuilder(codec=CodecId.XPRESS, version=WimVersion.DEFAULT)
    builder.add_image(b"metadata")
    sha1 = builder.add_blob(bytes(100_000))
    built = builder.build()
    row = built.row_of(sha1)
    built.patch_row(row, uncompressed_size=1 << 55)
    with WimFile.open(built.write(tmp_path / "a.wim")) as wim:
        assert not wim.blob_table.index.is_usable(row)
        with pytest.raises(Exception, match="cannot hold"):
            BlobStore(wim).open(sha1)


def test_images_come_in_table_order(tmp_path: Path) -> None:
    builder = WimBuilder()
    builder.add_image(b"first")
    builder.add_image(b"second")
    built = builder.build()
    one, two = built.rows[0].resource, built.rows[1].resource
    first, second = built.rows[0].sha1, built.rows[1].sha1
    built.patch(built.rows_offset, BlobRow(two, 1, 1, second).pack())
    built.patch(built.rows_offset + 50, BlobRow(one, 1, 1, first).pack())
    with WimFile.open(built.write(tmp_path / "a.wim")) as wim:
        store = BlobStore(wim)
        assert store.metadata_resource(1) == b"second"
        assert store.metadata_resource(2) == b"first"
