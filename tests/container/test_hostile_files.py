"""Files with random damage: every outcome is data, a typed error, or a blob named as bad."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container.blob_store import BlobStore
from wimtui.engine.container.chunk_loader import ChunkLoader
from wimtui.engine.container.verify import verify_blobs
from wimtui.engine.container.wim_file import OpenOptions, WimFile
from wimtui.engine.errors import WimError

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("plain", "lzx", "xpress-pipable", "solid-lzms", "solid-xpress")
DAMAGE = (b"\0", b"\xff", b"\x80", b"\0" * 4, b"\xff" * 8, b"\x10", b"\x04", b"\1\0\0\0")


def build(kind: str) -> bytes:
    codec = {"plain": CodecId.NONE, "xpress-pipable": CodecId.XPRESS}.get(kind, CodecId.LZX)
    builder = WimBuilder(
        codec=codec, is_pipable=kind.endswith("pipable"), integrity_piece_size=4096
    )
    builder.add_image(b"metadata" * 100, name="one")
    builder.add_blob(b"some text " * 20_000)
    builder.add_blob(b"small")
    if kind.startswith("solid"):
        inner = CodecId.LZMS if kind.endswith("lzms") else CodecId.XPRESS
        blobs = [bytes([n]) * 30_000 for n in range(5)]
        builder.add_solid(blobs[:3], blobs[3:], codec=inner, chunk_size=32768)
    return bytes(builder.build().data)


def use_everything(path: Path, loader: ChunkLoader) -> None:
    """Open, list, read and verify; errors of single blobs do not stop the rest."""
    wim = WimFile.open(path, OpenOptions())
    store = BlobStore(wim, loader=loader)
    try:
        for info in list(store.blobs()):
            with suppress(WimError):
                if info.is_metadata:
                    store.metadata_resource(1)
                else:
                    store.read_all(info.sha1, 1 << 22)
        verify_blobs(store)
        wim.integrity_table()
    finally:
        store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage(tmp_path: Path, kind: str) -> None:
    data = build(kind)
    generator = random.Random(kind)
    path = tmp_path / "damaged.wim"
    with ChunkLoader(worker_count=2) as loader:
        path.write_bytes(data)
        use_everything(path, loader)
        for _ in range(150):
            damaged = bytearray(data)
            for _ in range(generator.randrange(1, 4)):
                # Half of the damage goes to header and tables.
                start = generator.choice((0, len(data) - 900))
                span = generator.choice((208, 900, len(data)))
                offset = (start + generator.randrange(span)) % len(data)
                damage = generator.choice((*DAMAGE, generator.randbytes(1)))
                damaged[offset : offset + len(damage)] = damage
            path.write_bytes(damaged[: len(data)])
            with suppress(WimError):
                use_everything(path, loader)
