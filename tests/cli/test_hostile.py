"""Hostile WIMs through the shell and a mount: no crash, no hang, no memory bomb, no way out."""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import (
    WimBuilder,
    encode_chunks,
    kernel_compress,
    pack_plain_resource,
    sha1_of,
)  # fmt: skip
from tests.image.raw_metadata import REPARSE, SYMLINK_TAG, Raw, build, directory, sha
from tests.mounting import WIMTUI, mount_point, wimtui
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container.blob_table import BlobRow
from wimtui.engine.container.flags import ResourceFlag
from wimtui.engine.container.resource import ResourceHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live import Live

MEBIBYTE = 1 << 20
MAX_RESIDENT = 512 * MEBIBYTE
TIMEOUT_S = 60

COMMANDS = (["info", "--blobs", "--json"], ["dir", "--detailed"], ["verify"])


# ru_maxrss would tell of the test runner too, which a child is a copy of until it runs a program.
MEASURED = """
import atexit, sys
from pathlib import Path
peak = Path(sys.argv.pop(1))
atexit.register(lambda: peak.write_text(Path("/proc/self/status").read_text()))
from wimtui.cli.main import main
main()
"""


def resident_of(*arguments: str | Path) -> tuple[int, int, str]:
    """Run a command; return its exit code, its peak resident memory in bytes, what it said."""
    with tempfile.NamedTemporaryFile() as status:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, status.name, *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            timeout=TIMEOUT_S,
        )
        peak = peak_in(Path(status.name))
        return done.returncode, peak, done.stderr.decode("utf-8", "replace")


def peak_of(pid: int) -> int:
    return peak_in(Path(f"/proc/{pid}/status"))


def peak_in(status: Path) -> int:
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def one_file(sha1: bytes, *more: Raw) -> bytes:
    return build(directory("", Raw("file", sha1=sha1), *more))


def small(codec: CodecId = CodecId.NONE) -> WimBuilder:
    builder = WimBuilder(codec=codec)
    sha1 = builder.add_blob(b"harmless" * 512)
    builder.add_image(one_file(sha1))
    return builder


# What section 14 of the format's description lists, each as a file of at most 1 MB.


def bomb_of_zeros() -> bytes:
    """1 MB of chunks that decode to as much as they can."""
    builder = WimBuilder(codec=CodecId.LZX, chunk_size=1 << 21)
    sha1 = builder.add_blob(bytes(600 * MEBIBYTE))
    builder.add_image(one_file(sha1))
    return bytes(builder.build().data)


def bomb_of_metadata() -> bytes:
    builder = WimBuilder(codec=CodecId.LZX, chunk_size=1 << 21)
    builder.add_image(one_file(sha(1)) + bytes(400 * MEBIBYTE))
    return bytes(builder.build().data)


def solid_chunks_of_64_mib() -> bytes:
    builder = WimBuilder()
    blobs = [bytes([n]) * 100_000 for n in range(40)]
    hashes = builder.add_solid(blobs, chunk_size=64 * MEBIBYTE)
    tree = directory("", *(Raw(f"f{n}", sha1=sha1) for n, sha1 in enumerate(hashes)))
    builder.add_image(build(tree))
    return bytes(builder.build().data)


def many_solid_resources_of_64_mib() -> bytes:
    builder = WimBuilder(compress=lambda data: b"\0" * 40)
    hashes = [
        builder.add_solid([bytes([n]) * 64_000], chunk_size=64 * MEBIBYTE)[0] for n in range(30)
    ]
    tree = directory("", *(Raw(f"f{n}", sha1=sha1) for n, sha1 in enumerate(hashes)))
    builder.add_image(build(tree))
    return bytes(builder.build().data)


def huge_blob() -> bytes:
    wim = small().build()
    size = 1 << 56
    return bytes(wim.patch_row(0, uncompressed_size=size, flags=ResourceFlag.COMPRESSED).data)


def chunk_table_larger_than_the_resource() -> bytes:
    wim = small(CodecId.XPRESS).build()
    return bytes(wim.patch_row(0, uncompressed_size=1 << 40).data)


def chunk_offsets_backwards() -> bytes:
    builder = WimBuilder(codec=CodecId.XPRESS, chunk_size=4096)
    sha1 = builder.add_blob(b"0123456789" * 3000)
    builder.add_image(one_file(sha1))
    wim = builder.build()
    wim.patch(wim.rows[0].resource.offset_in_wim, struct.pack("<II", 0xFFFFFFF0, 3))
    return bytes(wim.data)


def solid_claims_everything() -> bytes:
    builder = WimBuilder()
    hashes = builder.add_solid([b"solid" * 1000])
    builder.add_image(one_file(hashes[0]))
    wim = builder.build()
    wim.patch(wim.solid_offsets[0], struct.pack("<QII", (1 << 64) - 1, 1 << 26, 3))
    return bytes(wim.data)


def resource_outside_the_file() -> bytes:
    wim = small().build()
    return bytes(wim.patch_row(0, offset_in_wim=(1 << 64) - 100).data)


def resource_over_the_header() -> bytes:
    wim = small().build()
    return bytes(wim.patch_row(0, offset_in_wim=0).data)


def blob_table_of_its_own_claim() -> bytes:
    wim = small().build()
    table = wim.header.blob_table
    claim = ResourceHeader(table.size_in_wim, ResourceFlag.COMPRESSED, table.offset_in_wim, 1 << 55)
    return bytes(wim.patch_header(blob_table=claim).data)


def bomb_of_a_blob_table() -> bytes:
    """A compressed table that decodes to 300 MB of entries."""
    codec = CodecId.LZX
    builder = small(codec)
    row = BlobRow(ResourceHeader(1, ResourceFlag.NONE, 208, 1), 1, 1, b"\1" * 20)
    wim = builder.build()
    period = row.pack() * 32768
    table = period * (300 * MEBIBYTE // len(period))
    compress = cache(kernel_compress(codec, 32768))
    packed = pack_plain_resource(encode_chunks(table, 32768, compress), len(table))
    flags = ResourceFlag.COMPRESSED | ResourceFlag.METADATA
    where = ResourceHeader(len(packed), flags, len(wim.data), len(table))
    wim.data += packed
    return bytes(wim.patch_header(blob_table=where).data)


def xml_of_many_elements() -> bytes:
    builder = small()
    builder.xml = "<WIM>" + "<A/>" * 120_000 + '<IMAGE INDEX="1"/></WIM>'
    return bytes(builder.build().data)


def xml_of_many_levels() -> bytes:
    builder = small()
    builder.xml = "<WIM>" + "<A>" * 100_000
    return bytes(builder.build().data)


def xml_entities() -> bytes:
    builder = small()
    laughs = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "lol">' for n in range(10)
    )
    builder.xml = f"<!DOCTYPE WIM [{laughs}]><WIM><IMAGE INDEX='1'><NAME>&l9;</NAME></IMAGE></WIM>"
    return bytes(builder.build().data)


def integrity_table_of_huge_claim() -> bytes:
    builder = small()
    builder.integrity_piece_size = 4096
    wim = builder.build()
    claim = struct.pack("<III", 0xFFFFFFF0, 0x0CCCCCCC, 1)
    return bytes(wim.patch(wim.header.integrity.offset_in_wim, claim).data)


def image(tree: bytes, *blobs: bytes) -> bytes:
    builder = WimBuilder()
    for blob in blobs:
        builder.add_blob(blob)
    builder.add_image(tree)
    return bytes(builder.build().data)


def deep_tree() -> bytes:
    leaf = Raw("x")
    for _ in range(9_000):
        leaf = directory("d", leaf)
    return image(build(directory("", leaf)))


def cyclic_tree() -> bytes:
    inner = directory("loop", subdir_offset=8)
    return image(build(directory("", inner)))


def shared_children() -> bytes:
    """Levels of two directories that share their child list: 2^60 paths."""
    level: list[Raw] = [Raw("leaf")]
    for _ in range(60):
        level = [directory("a", *level), directory("b", subdir_offset=0)]
    root = directory("", *level)
    data = bytearray(build(root))
    stack = [root]
    while stack:
        one = stack.pop()
        if one.children and len(one.children) == 2:
            first, second = one.children
            offset = struct.unpack_from("<Q", data, first.offset + 16)
            struct.pack_into("<Q", data, second.offset + 16, *offset)
        stack.extend(one.children or ())
    return image(bytes(data))


def names_that_lead_outside() -> bytes:
    names = ["..", ".", "../../etc/passwd", "/etc/passwd", "a/b", "", "nul\0inside", "\ud800", "ok"]
    children = [Raw(name, sha1=sha1_of(b"outside")) for name in names]
    children.append(directory("..", Raw("deeper")))
    return image(build(directory("", *children)), b"outside")


def links_that_lead_outside() -> bytes:
    def target(path: str) -> bytes:
        text = path.encode("utf-16-le")
        return struct.pack("<HHHHI", 0, len(text), 0, len(text), 1) + text

    data = [target("..\\" * 40 + "etc\\passwd"), target("\\\\?\\C:\\..\\..\\etc"), bytes(20_000)]
    children = [
        Raw(f"l{n}", REPARSE, tag=SYMLINK_TAG, sha1=sha1_of(one)) for n, one in enumerate(data)
    ]
    return image(build(directory("", *children)), *data)


def many_streams() -> bytes:
    extras = [(f"s{n}", sha(n % 250 + 1)) for n in range(9_000)]
    return image(build(directory("", Raw("file", extras=extras))))


def same_names() -> bytes:
    return image(build(directory("", *(Raw("same") for _ in range(5_000)))))


def many_hard_links() -> bytes:
    return image(build(directory("", *(Raw(f"n{n}", group=7) for n in range(6_000)))))


def times_of_all_kinds() -> bytes:
    extremes = [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    children = [Raw(f"t{time:x}", times=(time, time, time)) for time in extremes]
    return image(build(directory("", *children)))


def image_count_without_images() -> bytes:
    builder = small()
    images = "".join(f'<IMAGE INDEX="{n}"/>' for n in range(1, 10_001))
    builder.xml = f"<WIM>{images}</WIM>"
    builder.image_count = 10_000
    return bytes(builder.build().data)


HOSTILE: list[Callable[[], bytes]] = [
    bomb_of_zeros, bomb_of_metadata, solid_chunks_of_64_mib, many_solid_resources_of_64_mib,
    huge_blob, chunk_table_larger_than_the_resource, chunk_offsets_backwards,
    solid_claims_everything, resource_outside_the_file, resource_over_the_header,
    blob_table_of_its_own_claim, bomb_of_a_blob_table, xml_of_many_elements, xml_of_many_levels,
    xml_entities, integrity_table_of_huge_claim, deep_tree, cyclic_tree, shared_children,
    names_that_lead_outside, links_that_lead_outside, many_streams, same_names, many_hard_links,
    times_of_all_kinds, image_count_without_images,
]  # fmt: skip


@contextmanager
def mounted_if_it_can_be(wim: Path) -> Iterator[Path | None]:
    """Mount image 1, or None after a typed error."""
    with mount_point() as where:
        done = subprocess.run(
            [*WIMTUI, "mount", wim, "1", where], capture_output=True, text=True, check=False,
            timeout=TIMEOUT_S,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert 2 <= done.returncode <= 84
            assert len(done.stderr.splitlines()) == 1
            yield None
            return
        try:
            yield where
        finally:
            wimtui("unmount", where, "--force")


@pytest.mark.fuse
@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_hostile(tmp_path: Path, live: Live, make: Callable[[], bytes]) -> None:
    wim = tmp_path / "hostile.wim"
    wim.write_bytes(make())
    assert wim.stat().st_size <= 1_100_000
    for command, *options in COMMANDS:
        arguments: list[str | Path] = [command, wim, *(["1"] if command == "dir" else []), *options]
        code, resident, said = resident_of(*arguments)
        assert "Traceback" not in said
        assert 0 <= code <= 84, said
        assert resident < MAX_RESIDENT, (command, resident >> 20)
    with mounted_if_it_can_be(wim) as where:
        if where is None:
            return
        walk = f"find {where} -ls | tail -1; find {where} -type f | head -50 | xargs cat | wc -c"
        done = subprocess.run(
            ["bash", "-c", walk], capture_output=True, check=False, timeout=TIMEOUT_S
        )
        assert done.returncode == 0
        names = subprocess.run(
            ["find", where, "-maxdepth", "50", "-printf", "%f\\0"], capture_output=True, check=True
        ).stdout.split(b"\0")
        assert not {b".", b"..", b"passwd"} & set(names)
        (daemon,) = live.daemons()
        assert peak_of(daemon) < MAX_RESIDENT
