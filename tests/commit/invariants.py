"""What holds for every WIM that this program writes (wim-container, section 16 and appendix E).

Independent of the engine where that is cheap: header, table and metadata are read here byte by
byte; only compressed resources go through the product's decoders.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from wimtui.engine.codecs.factory import DecompressorPool
from wimtui.engine.container.resource_reader import read_whole
from wimtui.engine.container.wim_file import WimFile

if TYPE_CHECKING:
    from pathlib import Path

MARKER = 1 << 32
METADATA, COMPRESSED, SOLID = 2, 4, 16
READONLY_DIRECTORY = 0x10
REPARSE, ENCRYPTED = 0x400, 0x4000
ZERO = bytes(20)


@dataclass(frozen=True)
class Place:
    size: int
    flags: int
    offset: int
    original: int

    @classmethod
    def at(cls, data: bytes, offset: int) -> Place:
        word, start, original = struct.unpack_from("<QQQ", data, offset)
        return cls(word & (1 << 56) - 1, word >> 56, start, original)

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class Dentry:
    attributes: int
    security_id: int
    subdir: int
    fields: tuple[object, ...]
    """All that members of a hard-link group share."""
    group: int
    tag: int
    hashes: list[tuple[bytes, bytes]]
    """(stream name, SHA-1) of main hash, then extra entries."""
    name: bytes
    end: int


def check_wim(path: Path, *, fresh: bool = False, external: bool = False) -> None:
    """Assert every invariant; ``fresh`` adds those of a file without dead bytes."""
    data = path.read_bytes()
    header = data[:208]
    assert header[:8] == b"MSWIM\0\0\0"
    size, version, flags, chunk_size = struct.unpack_from("<IIII", header, 8)
    part, parts, image_count = struct.unpack_from("<HHI", header, 40)
    boot_index = struct.unpack_from("<I", header, 120)[0]
    table, xml = Place.at(header, 48), Place.at(header, 72)
    boot, integrity = Place.at(header, 96), Place.at(header, 124)
    assert size == 208
    assert (part, parts) == (1, 1)
    assert not flags & 0x40, "WRITE_IN_PROGRESS is cleared at the end"
    assert bool(chunk_size) == bool(flags & 2)
    assert table.flags == 2
    assert xml.flags == 2
    assert (table.size, xml.size) == (table.original, xml.original)
    assert image_count >= 1
    rows = read_rows(data, table, version)
    check_rows(data, rows, table, version, image_count, fresh=fresh)
    metadata_rows = [row for row in rows if row[0].flags & METADATA]
    check_boot(boot_index, boot, [row[0] for row in metadata_rows])
    check_xml(data, xml, image_count)
    check_integrity(data, integrity, table)
    with WimFile.open(path) as wim:
        used: Counter[bytes] = Counter()
        for index, row in enumerate(metadata_rows):
            resource = wim.open_resource(
                wim.blob_table.row(wim.blob_table.metadata_rows[index]).resource
            )
            metadata = read_whole(resource, DecompressorPool())
            assert hashlib.sha1(metadata).digest() == row[2]
            used += check_metadata(metadata, packed=fresh)
    counts = {row[2]: row[1] for row in rows if not row[0].flags & METADATA and row[2] != ZERO}
    if not external:
        assert set(used) == set(counts), "a stream without a blob, or a blob without a stream"
    for sha1, count in counts.items():
        assert used[sha1] == count, "reference counts"


def read_rows(data: bytes, table: Place, version: int) -> list[tuple[Place, int, bytes]]:
    rows = []
    assert table.size % 50 == 0
    for offset in range(table.offset, table.end, 50):
        part, count = struct.unpack_from("<HI", data, offset + 24)
        assert part == 1
        place = Place.at(data, offset)
        assert place.flags & ~(METADATA | COMPRESSED | SOLID) == 0
        assert version == 0xE00 or not place.flags & SOLID
        rows.append((place, count, data[offset + 30 : offset + 50]))
    return rows


def check_rows(
    data: bytes,
    rows: list[tuple[Place, int, bytes]],
    table: Place,
    version: int,
    image_count: int,
    *,
    fresh: bool,
) -> None:
    hashes = [sha1 for place, _, sha1 in rows if sha1 != ZERO and not place.flags & METADATA]
    assert len(hashes) == len(set(hashes)), "two entries with one hash"
    assert hashlib.sha1(b"").digest() not in hashes
    metadata = [row for row in rows if row[0].flags & METADATA]
    assert rows[: len(metadata)] == metadata, "metadata entries come first"
    assert len(metadata) == image_count
    ranges = []
    solid_logical: list[tuple[int, int]] = []
    base = 0
    for place, count, sha1 in rows:
        assert not (place.flags & METADATA and count != 1)
        if place.flags & SOLID:
            assert not place.flags & METADATA
            if place.original == MARKER:
                assert sha1 == ZERO
                ranges.append((place.offset, place.end))
                base_size, chunk, codec = struct.unpack_from("<QII", data, place.offset)
                assert codec in (1, 2, 3)
                assert chunk <= 1 << 26
                sizes_end = place.offset + 16 + 4 * -(-base_size // chunk)
                sizes = struct.unpack_from(
                    f"<{(sizes_end - place.offset - 16) // 4}I", data, place.offset + 16
                )
                assert sizes_end + sum(sizes) == place.end
                base += base_size
            else:
                solid_logical.append((place.offset, place.offset + place.size))
                assert place.offset + place.size <= base
            continue
        assert place.original > 0
        assert (place.size < place.original) == bool(place.flags & COMPRESSED)
        assert place.size <= place.original
        ranges.append((place.offset, place.end))
    for listed in (sorted(ranges), sorted(solid_logical)):
        for (_, end), (start, _) in pairwise(listed):
            assert end <= start, "resources overlap"
    assert all(start >= 208 for start, _ in ranges)
    if fresh:
        assert all(end <= table.offset for _, end in ranges)
        assert 208 + sum(end - start for start, end in ranges) == table.offset, "dead bytes"
    plain = [place.offset for place, *_ in rows[len(metadata) :] if not place.flags & SOLID]
    assert plain == sorted(plain)


def check_boot(boot_index: int, boot: Place, metadata: list[Place]) -> None:
    if boot_index == 0:
        assert boot == Place(0, 0, 0, 0)
    else:
        assert boot == metadata[boot_index - 1]


def check_xml(data: bytes, xml: Place, image_count: int) -> None:
    document = data[xml.offset : xml.end]
    assert len(document) == xml.size
    assert len(document) % 2 == 0
    assert document[:2] == b"\xff\xfe"
    root = ET.fromstring(document[2:].decode("utf-16-le"))
    assert root.tag == "WIM"
    indexes = [int(image.attrib["INDEX"]) for image in root.findall("IMAGE")]
    assert sorted(indexes) == list(range(1, image_count + 1))
    total = root.find("TOTALBYTES")
    assert total is not None
    assert int(total.text or "") == xml.offset


def check_integrity(data: bytes, integrity: Place, table: Place) -> None:
    if integrity.offset == 0:
        assert integrity == Place(0, 0, 0, 0)
        return
    assert integrity.flags == 0
    size, count, piece = struct.unpack_from("<III", data, integrity.offset)
    assert size == integrity.size == integrity.original == 12 + 20 * count
    covered = table.end - 208
    assert count == -(-covered // piece)
    for number in range(count):
        start = 208 + number * piece
        end = min(start + piece, table.end)
        at = integrity.offset + 12 + 20 * number
        assert hashlib.sha1(data[start:end]).digest() == data[at : at + 20]


def check_metadata(metadata: bytes, *, packed: bool = True) -> Counter[bytes]:
    """Check one metadata resource; return how often it names each hash."""
    total, descriptors = struct.unpack_from("<II", metadata)
    total = total or 8
    sizes = struct.unpack_from(f"<{descriptors}Q", metadata, 8)
    assert 8 + 8 * descriptors + sum(sizes) <= total
    root_at = total + -total % 8
    root = parse(metadata, root_at)
    assert root is not None
    used: Counter[bytes] = Counter()
    groups: dict[int, list[Dentry]] = defaultdict(list)
    subdirs: list[int] = []
    covered = root.end - root_at + 8
    pending = [root]
    check_dentry(root, descriptors, used)
    while pending:
        directory = pending.pop()
        subdirs.append(directory.subdir)
        at = directory.subdir
        names = []
        while (child := parse(metadata, at)) is not None:
            covered += child.end - at
            at = child.end
            names.append(child.name)
            check_dentry(child, descriptors, used)
            if child.attributes & (READONLY_DIRECTORY | REPARSE) == READONLY_DIRECTORY:
                assert child.subdir != 0
                pending.append(child)
            else:
                assert child.subdir == 0
            if child.group:
                groups[child.group].append(child)
        covered += 8
        assert len(names) == len(set(names))
    assert len(subdirs) == len(set(subdirs)), "a child list of two directories"
    for members in groups.values():
        assert len(members) >= 2
        assert len({member.fields for member in members}) == 1, "links that differ"
    if packed:
        assert root_at + covered == len(metadata)
    return used


def check_dentry(dentry: Dentry, descriptors: int, used: Counter[bytes]) -> None:
    assert dentry.attributes & 0x80 == 0 or dentry.attributes == 0x80, "NORMAL only alone"
    assert -1 <= dentry.security_id < max(descriptors, 0) or dentry.security_id == -1
    is_reparse = bool(dentry.attributes & REPARSE) and not dentry.attributes & ENCRYPTED
    unnamed = [sha1 for name, sha1 in dentry.hashes if not name]
    if is_reparse:
        assert dentry.tag != 0
        assert any(sha1 != ZERO for sha1 in unnamed), "a reparse point without reparse data"
    streams = [name for name, _ in dentry.hashes if name]
    assert len(streams) == len({name.decode("utf-16-le").casefold() for name in streams})
    for _, sha1 in dentry.hashes:
        if sha1 != ZERO:
            assert sha1 != hashlib.sha1(b"").digest()
            used[sha1] += 1


def parse(metadata: bytes, at: int) -> Dentry | None:
    length = struct.unpack_from("<Q", metadata, at)[0]
    if length <= 8:
        assert length == 0
        return None
    assert length % 8 == 0
    assert length >= 104
    attributes, security_id, subdir = struct.unpack_from("<IiQ", metadata, at + 8)
    times = struct.unpack_from("<QQQ", metadata, at + 40)
    main = metadata[at + 64 : at + 84]
    union = metadata[at + 88 : at + 96]
    streams, short_nbytes, name_nbytes = struct.unpack_from("<HHH", metadata, at + 96)
    name = metadata[at + 102 : at + 102 + name_nbytes]
    names_end = 102 + (name_nbytes + 2 if name_nbytes else 0)
    names_end += short_nbytes + 2 if short_nbytes else 0
    tagged = metadata[at + names_end + -names_end % 8 : at + length]
    hashes = [(b"", main)]
    end = at + length
    for _ in range(streams):
        entry_length = struct.unpack_from("<Q", metadata, end)[0]
        assert entry_length % 8 == 0
        stream_nbytes = struct.unpack_from("<H", metadata, end + 36)[0]
        hashes.append(
            (metadata[end + 38 : end + 38 + stream_nbytes], metadata[end + 16 : end + 36])
        )
        end += entry_length
    reparse = attributes & REPARSE
    group = 0 if reparse else struct.unpack("<Q", union)[0]
    tag = struct.unpack("<I", union[:4])[0] if reparse else 0
    fields = (attributes, security_id, times, tagged, tuple(hashes))
    return Dentry(attributes, security_id, subdir, fields, group, tag, hashes, name, end)
