"""Corrupt data under a mount: an error for that range, a line in the log, and the mount lives."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder
from tests.image.raw_metadata import Raw, build, directory
from tests.live import wait_for
from tests.mounting import mounted, wimtui
from tests.oracle.wims import words
from wimtui.engine.codecs.base import CodecId

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 32768
SIZE = 40 * CHUNK


@pytest.mark.fuse
@pytest.mark.parametrize("codec", [CodecId.XPRESS, CodecId.LZX, CodecId.LZMS])
def test_one_bad_chunk(tmp_path: Path, codec: CodecId) -> None:
    data = words(3, SIZE)
    builder = WimBuilder(codec=codec, chunk_size=CHUNK)
    bad, good = builder.add_blob(data), builder.add_blob(data[::-1])
    builder.add_image(build(directory("", Raw("bad", sha1=bad), Raw("good", sha1=good))))
    wim = builder.build()
    row = wim.rows[0].resource
    # In the middle of the resource, which is in the middle of its chunks.
    middle = row.offset_in_wim + row.size_in_wim // 2
    path = wim.patch(middle, b"\xff" * 3000).write(tmp_path / "bad.wim")
    log = tmp_path / "mount.log"
    with mounted(path, f"--log-file={log}") as where:
        opened = os.open(where / "bad", os.O_RDONLY)
        try:
            assert os.pread(opened, CHUNK, 0) == data[:CHUNK]
            assert os.pread(opened, CHUNK, SIZE - CHUNK) == data[-CHUNK:]
            failed = [n for n in range(SIZE // CHUNK) if not _reads(opened, n, data)]
        finally:
            os.close(opened)
        assert 1 <= len(failed) <= 3
        assert abs(failed[0] - SIZE // CHUNK // 2) <= 4
        assert (where / "good").read_bytes() == data[::-1]
        wait_for(lambda: "WARNING" in log.read_text(), "a line in the log")
        lines = [line for line in log.read_text().splitlines() if "WARNING" in line]
        assert any(bad.hex() in line or str(row.offset_in_wim) in line for line in lines), lines
        assert any(f"chunk {failed[0]}" in line for line in lines), lines
    (damaged,) = _verify(path)["damaged"]
    assert damaged["sha1"] == bad.hex()
    assert damaged["paths"] == ["[1] /bad"]


def _reads(opened: int, chunk: int, data: bytes) -> bool:
    """Whether a chunk can be read; what is read is right, what is not is EIO."""
    try:
        read = os.pread(opened, CHUNK, chunk * CHUNK)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False
    if read != data[chunk * CHUNK : (chunk + 1) * CHUNK]:
        pytest.fail(f"chunk {chunk} reads as something else")
    return True


def _verify(path: Path) -> dict[str, list[dict[str, object]]]:

    found: dict[str, list[dict[str, object]]] = json.loads(
        wimtui("verify", path, "--json", code=28).stdout
    )
    return found
