"""Opening WIM files: what is accepted, what is refused and with which error."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder, kernel_compress, sha1_of, store_raw
from tests.container.reference_wim import REFERENCE_WIM
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.file_bytes import identity_now
from wimtui.engine.container.flags import EMPTY_HASH, EMPTY_SHA1, HeaderFlag, ResourceFlag
from wimtui.engine.container.limits import Limits
from wimtui.engine.container.resource import NO_RESOURCE, ResourceHeader
from wimtui.engine.container.wim_file import OpenOptions, WimFile
from wimtui.engine.errors import (
    ChunkSizeError,
    CompressionTypeError,
    EncryptedError,
    HeaderError,
    ImageCountError,
    LimitError,
    MetadataError,
    MissingBlobError,
    NoMetadataError,
    NoSuchImageError,
    OpenFailedError,
    PartNumberError,
    PipableError,
    TruncatedError,
    WimError,
    XmlDataError,
)

if TYPE_CHECKING:
    from pathlib import Path


def _builder(**fields: object) -> WimBuilder:
    builder = WimBuilder(**fields)  # type: ignore[arg-type]
    builder.add_image(b"metadata" * 100, name="one")
    builder.add_blob(b"data" * 1000)
    return builder


def test_the_reference_wim(tmp_path: Path) -> None:
    path = tmp_path / "t.wim"
    path.write_bytes(REFERENCE_WIM)
    wim = WimFile.open(path)
    assert (wim.codec, wim.chunk_size, wim.image_count) == (CodecId.NONE, 0, 1)
    assert wim.header.guid == bytes(range(16))
    assert wim.header.pack() == REFERENCE_WIM[:208]
    assert [image.name for image in wim.xml.images] == ["t"]
    assert wim.xml.pack() == wim.xml_bytes() == REFERENCE_WIM[959:]
    assert wim.integrity_table() is None
    store = BlobStore(wim)
    assert store.metadata_resource(1) == REFERENCE_WIM[249:809]
    assert store.read_all(sha1_of(b"hello"), 5) == b"hello"
    infos = list(store.blobs())
    assert [(info.offset, info.uncompressed_size, info.is_metadata) for info in infos] == [
        (249, 560, True),
        (208, 5, False),
        (213, 36, False),
    ]
    store.close()


def test_empty_streams_and_missing_blobs(tmp_path: Path) -> None:
    store = BlobStore(WimFile.open(_builder().build().write(tmp_path / "a.wim")))
    for sha1 in (EMPTY_HASH, EMPTY_SHA1):
        assert store.size(sha1) == 0
        assert store.open(sha1).read(0, 100) == b""
        assert store.open(sha1).read_nowait(0, 100) == b""
        assert store.read_all(sha1, 0) == b""
    assert store.size(b"x" * 20) is None
    assert store.stored_size(b"x" * 20) == 0
    assert store.describe(b"x" * 20) is None
    with pytest.raises(MissingBlobError, match="delta"):
        store.open(b"x" * 20)
    with pytest.raises(LimitError):
        store.read_all(sha1_of(b"data" * 1000), 3999)


@pytest.mark.parametrize("codec", CodecId)
@pytest.mark.parametrize("is_pipable", [False, True])
def test_every_codec(tmp_path: Path, codec: CodecId, is_pipable: bool) -> None:
    builder = WimBuilder(codec=codec, is_pipable=is_pipable, integrity_piece_size=4096)
    builder.add_image(b"metadata" * 10_000, name="one")
    sha1 = builder.add_blob(os.urandom(1000) * 300)
    path = builder.build().write(tmp_path / "a.wim")
    store = BlobStore(WimFile.open(path, OpenOptions(check_integrity=True)))
    assert store.main.warnings == ()
    assert store.metadata_resource(1) == b"metadata" * 10_000
    assert len(store.read_all(sha1, 300_000)) == 300_000
    store.close()


def test_a_wim_without_images(tmp_path: Path) -> None:
    with WimFile.open(WimBuilder().build().write(tmp_path / "a.wim")) as wim:
        assert wim.image_count == 0
        with pytest.raises(NoSuchImageError):
            BlobStore(wim).metadata_resource(1)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"flags": HeaderFlag.COMPRESSION}, CompressionTypeError),
        ({"flags": HeaderFlag.COMPRESSION | HeaderFlag.COMPRESS_LZX}, None),
        ({"flags": HeaderFlag.COMPRESS_LZX}, None),
        ({"chunk_size": 12345}, None),
        ({"part_number": 2}, PartNumberError),
        ({"image_count": 2}, ImageCountError),
        ({"image_count": 70_000}, ImageCountError),
        ({"boot_index": 7}, None),
        ({"xml_data": NO_RESOURCE}, XmlDataError),
        ({"xml_data": ResourceHeader(40, ResourceFlag.NONE, 20, 40)}, HeaderError),
        ({"xml_data": ResourceHeader(40, ResourceFlag.NONE, 1 << 40, 40)}, TruncatedError),
        ({"xml_data": ResourceHeader(40, ResourceFlag.NONE, 2**64 - 1, 40)}, TruncatedError),
        ({"blob_table": ResourceHeader(50, ResourceFlag.NONE, 1 << 40, 50)}, TruncatedError),
    ],
)
def test_header_fields(
    tmp_path: Path, fields: dict[str, object], error: type[Exception] | None
) -> None:
    path = _builder().build().patch_header(**fields).write(tmp_path / "a.wim")
    if error is None:
        WimFile.open(path).close()
        return
    with pytest.raises(error) as caught:
        WimFile.open(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("codec", "chunk_size", "error"),
    [
        (CodecId.XPRESS, 0, None),
        (CodecId.LZX, 0, None),
        (CodecId.LZMS, 0, ChunkSizeError),
        (CodecId.XPRESS, 2048, ChunkSizeError),
        (CodecId.XPRESS, 1 << 17, ChunkSizeError),
        (CodecId.LZX, 1 << 22, ChunkSizeError),
        (CodecId.LZX, 40_000, ChunkSizeError),
        (CodecId.LZMS, 1 << 27, LimitError),
        (CodecId.LZMS, 1 << 31, ChunkSizeError),
    ],
)
def test_chunk_sizes(
    tmp_path: Path, codec: CodecId, chunk_size: int, error: type[Exception] | None
) -> None:
    builder = _builder(codec=codec, compress=store_raw)
    path = builder.build().patch_header(chunk_size=chunk_size).write(tmp_path / "a.wim")
    if error is None:
        with WimFile.open(path) as wim:
            assert wim.chunk_size == 32768
        return
    with pytest.raises(error):
        WimFile.open(path)


def test_the_limit_error_names_its_override(tmp_path: Path) -> None:
    builder = _builder(codec=CodecId.LZMS, chunk_size=1 << 27, compress=store_raw)
    path = builder.build().write(tmp_path / "a.wim")
    with pytest.raises(LimitError, match="--max-chunk-size=134217728"):
        WimFile.open(path)
    WimFile.open(path, OpenOptions(limits=Limits(chunk_size=1 << 27))).close()


def test_warnings(tmp_path: Path) -> None:
    builder = _builder(extra_flags=HeaderFlag.WRITE_IN_PROGRESS, boot_index=9)
    builder.add_image_name("ghost")
    with WimFile.open(builder.build().write(tmp_path / "a.wim")) as wim:
        assert len(wim.warnings) == 3
        assert wim.header.effective_boot_index == 0
        store = BlobStore(wim)
        with pytest.raises(NoMetadataError, match="image 2 has no metadata"):
            store.metadata_resource(2)


def test_encryption_is_found_before_the_blob_table_is_read(tmp_path: Path) -> None:
    xml = '<WIM><IMAGE INDEX="1"/><ESD><ENCRYPTED><KEY/></ENCRYPTED></ESD></WIM>'
    built = _builder(xml=xml).build().patch_row(0, size_in_wim=1, flags=0x12)
    with pytest.raises(EncryptedError, match="decrypt"):
        WimFile.open(built.write(tmp_path / "a.esd"))


def test_pipable_trailer(tmp_path: Path) -> None:
    built = _builder(is_pipable=True).build()
    path = built.write(tmp_path / "a.wim")
    WimFile.open(path).close()
    data = bytes(built.data)
    for broken in (
        data[:-208],
        data + b"x",
        data[:-100],
        data[:208],
        data[:-184] + b"?" + data[-183:],
    ):
        path.write_bytes(broken)
        with pytest.raises((PipableError, TruncatedError)):
            WimFile.open(path)


def test_every_truncation_is_a_typed_error(tmp_path: Path) -> None:
    data = bytes(_builder(integrity_piece_size=4096).build().data)
    path = tmp_path / "a.wim"
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        try:
            store = BlobStore(WimFile.open(path, OpenOptions(check_integrity=True)))
        except WimError:
            continue
        pytest.fail(f"{size} bytes of {len(data)} were accepted: {store}")


def test_every_flipped_header_byte_is_typed_or_tolerated(tmp_path: Path) -> None:
    data = bytes(_builder(codec=CodecId.XPRESS, integrity_piece_size=4096).build().data)
    path = tmp_path / "a.wim"
    for offset in range(208):
        for value in (0, 0xFF, data[offset] ^ 1):
            broken = bytearray(data)
            broken[offset] = value
            path.write_bytes(broken)
            try:
                store = BlobStore(WimFile.open(path))
                store.metadata_resource(1)
                for info in list(store.blobs()):
                    if not info.is_metadata:
                        store.read_all(info.sha1, 1 << 20)
                store.close()
            except WimError:
                pass


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.wim"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(OpenFailedError):
        WimFile.open(path)


def test_metadata_is_verified_and_bounded(tmp_path: Path) -> None:
    built = _builder().build()
    built.patch(built.rows[0].resource.offset_in_wim, b"M")
    with pytest.raises(MetadataError, match="SHA-1"):
        BlobStore(WimFile.open(built.write(tmp_path / "a.wim"))).metadata_resource(1)
    options = OpenOptions(limits=Limits(metadata_size=700))
    with pytest.raises(LimitError, match="--max-metadata-size=800"):
        BlobStore(WimFile.open(tmp_path / "a.wim", options)).metadata_resource(1)
    built = _builder(codec=CodecId.XPRESS).build()
    built.patch_row(0, uncompressed_size=520 * len(built.data))
    with pytest.raises(MetadataError, match="implausible"):
        BlobStore(WimFile.open(built.write(tmp_path / "b.wim"))).metadata_resource(1)


def test_a_later_part_has_no_images(tmp_path: Path) -> None:
    builder = WimBuilder(part_number=2, total_parts=3)
    builder.add_image_name("one")
    builder.add_blob(b"data")
    store = BlobStore(WimFile.open(builder.build().write(tmp_path / "a2.swm")))
    with pytest.raises(NoMetadataError, match="part 2 of 3"):
        store.metadata_resource(1)


def test_identity(tmp_path: Path) -> None:
    built = _builder().build()
    path = built.write(tmp_path / "a.wim")
    with WimFile.open(path) as wim:
        assert identity_now(wim.path) == wim.identity
        built.patch_header(boot_index=1).write(path)
        assert identity_now(wim.path) != wim.identity


@pytest.mark.slow
def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    """Chunks of 64 MiB that decode from next to nothing, more than the cache holds."""
    chunk_size = 1 << 26
    encoded = kernel_compress(CodecId.LZMS, chunk_size)(bytes(chunk_size))
    builder = WimBuilder(codec=CodecId.LZMS, chunk_size=chunk_size, compress=lambda _: encoded)
    builder.add_image(b"metadata", compress=False)
    builder.add_solid([bytes(7 * chunk_size)], chunk_size=chunk_size)
    path = builder.build().write(tmp_path / "a.wim")
    assert path.stat().st_size < 1 << 20
    program = """
import sys
from pathlib import Path
from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.verify import verify_blobs
from wimtui.engine.container.wim_file import WimFile
store = BlobStore(WimFile.open(sys.argv[1]))
for info in store.blobs():
    if not info.is_metadata:
        blob = store.open(info.sha1)
        for offset in range(0, info.uncompressed_size, 4 << 20):
            blob.read(offset, 4096)
assert verify_blobs(store) == []
store.close()
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) * 1024 < 512 << 20
