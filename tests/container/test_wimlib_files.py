"""Files that wimlib-imagex wrote, read back and compared with what went in."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder, sha1_of
from tests.container.test_reading import check_reads, mixed_bytes
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.parts import open_references
from wimtui.engine.container.verify import verify_blobs
from wimtui.engine.container.wim_file import OpenOptions, WimFile

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.oracle


def wimlib(*arguments: object) -> str:
    run = subprocess.run(
        ["wimlib-imagex", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for size in (1, 32767, 32768, 32769, 131_073, 700_000, 1_500_000):
        (folder / f"{size}.bin").write_bytes(mixed_bytes(size, size))
    return folder


@pytest.mark.parametrize(
    "options",
    [
        ["--compress=none"],
        ["--compress=XPRESS"],
        ["--compress=XPRESS", "--chunk-size=4096"],
        ["--compress=LZX"],
        ["--compress=LZX", "--chunk-size=1M"],
        ["--compress=LZMS"],
        ["--solid"],
        ["--solid", "--solid-compress=LZX", "--solid-chunk-size=32K"],
        ["--solid", "--solid-compress=XPRESS", "--solid-chunk-size=16K"],
        ["--pipable"],
        ["--pipable", "--compress=XPRESS"],
        ["--pipable", "--compress=none"],
    ],
)
def test_captures(source: Path, tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "a.wim"
    wimlib("capture", source, path, "--check", "--no-acls", *options)
    with BlobStoreOf(path) as store:
        assert store.main.warnings == ()
        assert verify_blobs(store) == []
        # wimlib up to 1.13 ends the document with a line feed.
        assert store.main.xml.pack() == store.main.xml_bytes().removesuffix(b"\n\0")
        assert store.main.xml.images[0].info().file_count == 7
        for file in source.iterdir():
            data = file.read_bytes()
            check_reads(store.open(sha1_of(data)), data, rounds=20)
        assert len(store.metadata_resource(1)) == store.metadata_info(1).uncompressed_size


def test_split_set(source: Path, tmp_path: Path) -> None:
    wimlib("capture", source, tmp_path / "a.wim", "--compress=none", "--no-acls")
    wimlib("split", tmp_path / "a.wim", tmp_path / "s.swm", "1")
    main = WimFile.open(tmp_path / "s.swm")
    others = open_references(main, [str(tmp_path / "s*.swm")])
    store = BlobStore(main, others)
    assert len(store.files) > 1
    assert verify_blobs(store) == []
    for file in source.iterdir():
        assert store.read_all(sha1_of(file.read_bytes()), 1 << 21) == file.read_bytes()
    store.close()


@pytest.mark.parametrize("codec", CodecId)
@pytest.mark.parametrize("is_pipable", [False, True])
def test_the_builder_writes_what_wimlib_accepts(
    tmp_path: Path, codec: CodecId, is_pipable: bool
) -> None:
    builder = WimBuilder(codec=codec, is_pipable=is_pipable, integrity_piece_size=4096)
    root = bytes.fromhex("0800000000000000") + bytes(104 + 16)
    metadata = bytearray(root)
    metadata[8:16] = (104).to_bytes(8, "little")
    metadata[16:20] = (0x10).to_bytes(4, "little")
    metadata[20:24] = b"\xff\xff\xff\xff"
    metadata[24:32] = (120).to_bytes(8, "little")
    builder.add_image(bytes(metadata), name="one")
    builder.add_blob(mixed_bytes(100_000))
    if not is_pipable:
        builder.add_solid([mixed_bytes(150_000, 3), mixed_bytes(10, 4)], [mixed_bytes(99, 5)])
    path = builder.build().write(tmp_path / "a.wim")
    wimlib("verify", path)
    with BlobStoreOf(path) as store:
        assert verify_blobs(store) == []


class BlobStoreOf:
    """A store of one file, closed at the end."""

    def __init__(self, path: Path) -> None:
        self.store = BlobStore(WimFile.open(path, OpenOptions(check_integrity=True)))

    def __enter__(self) -> BlobStore:
        return self.store

    def __exit__(self, *rest: object) -> None:
        self.store.close()
