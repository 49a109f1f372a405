from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

CHILD = """
import gc
import os
import random
from wimtui.engine.image.metadata import ImageMetadata
from wimtui.engine.image.metadata_writer import DentryNode, write_metadata
from wimtui.engine.image.view import ImageView

COUNT = 500_000
FILES = 100


class Blobs:
    def size(self, sha1):
        return 1000

    def stored_size(self, sha1):
        return 500


def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children_of(node):
    if node.name == b"":
        return [DentryNode(b"directory%05d" % n, 0x10, source=n) for n in range(COUNT // FILES)]
    return [
        DentryNode(
            b"some file name %03d.dll" % n, 0x20, content_sha1=random.randbytes(20),
            short_name=b"SOMEFI~%d.DLL" % (n % 10) if n < 50 else b"",
        )
        for n in range(FILES - 1)
    ]


data = write_metadata(DentryNode(b"", 0x10), b"\\x08" + bytes(7), children_of)
ImageMetadata.parse(data[:8] + bytes(8))
before = resident()
metadata = ImageMetadata.parse(data)
view = ImageView(metadata, Blobs())
for ino in range(1, metadata.columns.inode_count + 1):
    view.attributes(ino)
used = resident() - before
count = metadata.columns.dentry_count
assert count == COUNT + 1, count
print(used / count, metadata.nbytes / count)
"""


@pytest.mark.slow
def test_half_a_million_dentries_take_at_most_200_bytes_each() -> None:
    result = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    resident, accounted = map(float, result.stdout.split())
    assert max(resident, accounted) <= 200
