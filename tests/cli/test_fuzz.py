"""Bytes broken at random, in WIMs of every codec: only a WimError may come out."""

from __future__ import annotations

import contextlib
import io
import random
from argparse import Namespace
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder
from tests.dice import thrown_seed
from tests.image.raw_metadata import REPARSE, SYMLINK_TAG, Raw, build, directory
from tests.live import SAMPLE
from tests.oracle.wims import words
from wimtui.cli.commands import dir as dir_command
from wimtui.cli.commands import info
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.errors import WimError
from wimtui.service.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 120
INTERESTING = [b"\x00", b"\xff", b"\x7f\xff", b"\xff" * 4, b"\x00" * 8, b"\xff" * 8]


def made_of(codec: CodecId, *, solid: bool = False, pipable: bool = False) -> bytes:
    builder = WimBuilder(codec=codec, is_pipable=pipable)
    blobs = [words(n, 3_000 * n) for n in range(1, 6)]
    if solid:
        hashes = builder.add_solid(blobs, chunk_size=32768)
    else:
        hashes = [builder.add_blob(blob) for blob in blobs]
    if not pipable:
        builder.integrity_piece_size = 4096
    files = [Raw(f"f{n}", sha1=sha1, extras=[("s", sha1)]) for n, sha1 in enumerate(hashes)]
    link = Raw("l", REPARSE, tag=SYMLINK_TAG, sha1=hashes[0])
    builder.add_image(build(directory("", *files, directory("d", link))), name="image")
    return bytes(builder.build().data)


SOURCES: dict[str, Callable[[], bytes]] = {
    "sample": SAMPLE.read_bytes,
    "none": lambda: made_of(CodecId.NONE),
    "xpress": lambda: made_of(CodecId.XPRESS),
    "lzx": lambda: made_of(CodecId.LZX),
    "lzms": lambda: made_of(CodecId.LZMS),
    "solid": lambda: made_of(CodecId.NONE, solid=True),
    "pipable": lambda: made_of(CodecId.LZX, pipable=True),
}


def break_somewhere(data: bytearray, rng: random.Random) -> None:
    """Cut off the end, or overwrite up to 16 places: the header and the tables above all."""
    if rng.random() < 0.15:
        del data[rng.randrange(len(data)) :]
        return
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        start = rng.choice([0, 0, max(0, len(data) - 4000)])
        end = len(data) if start else rng.choice([208, len(data)])
        place = rng.randrange(start, end)
        piece = rng.choice([*INTERESTING, rng.randbytes(4), bytes([data[place] ^ 0x10])])
        data[place : place + len(piece)] = piece


def look_at(path: Path) -> int:
    """Run info, dir and verify; return how many of them answered with an error."""
    wim = str(path)
    every = {"header": True, "blobs": True, "xml": True, "json": False, "image": None}
    listing = {"path": "/", "detailed": True, "one_file_only": False, "json": False, "image": "1"}
    limits = {"ref": [], "max_chunk": 64 << 20, "max_metadata": None}
    errors = 0
    for run in (
        lambda: info.run(Namespace(wim=wim, **every, **limits)),
        lambda: dir_command.run(Namespace(wim=wim, **listing, **limits)),
        lambda: verify(wim),
    ):
        try:
            run()
        except WimError as error:
            errors += bool(str(error))
    return errors


@pytest.mark.dice
@pytest.mark.parametrize("name", SOURCES)
def test_broken_bytes(tmp_path: Path, name: str) -> None:
    whole = SOURCES[name]()
    path = tmp_path / "broken.wim"
    path.write_bytes(whole)
    errors = 0
    with contextlib.redirect_stdout(io.StringIO()):
        assert look_at(path) == 0
        first = thrown_seed()
        for seed in range(first, first + (ROUNDS if name != "sample" else ROUNDS // 4)):
            data = bytearray(whole)
            break_somewhere(data, random.Random(seed))
            path.write_bytes(data)
            try:
                errors += look_at(path)
            except Exception as error:
                raise AssertionError(f"seed {seed} of {name}") from error
    assert errors > 0
