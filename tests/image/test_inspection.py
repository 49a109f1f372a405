"""Tagged items, security descriptors, ntfs-3g attributes and the details of one file."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.image.fake_blobs import FakeBlobs
from tests.image.raw_metadata import (
    DIRECTORY,
    REPARSE,
    SYMLINK_TAG,
    Raw,
    build,
    directory,
    security_data,
    sha,
)
from wimtui.engine.errors import MetadataError, NoSuchAttributeError
from wimtui.engine.image.attributes import attribute_names, is_plain_directory
from wimtui.engine.image.details import file_details
from wimtui.engine.image.metadata import ImageMetadata
from wimtui.engine.image.ntfs_xattrs import pack_ea_list, parse_ea_list
from wimtui.engine.image.sddl import sddl_text
from wimtui.engine.image.security import SecurityData
from wimtui.engine.image.streams import Stream, StreamKind
from wimtui.engine.image.tagged_items import (
    ExtendedAttribute,
    ItemTag,
    ObjectId,
    TaggedItem,
    UnixData,
    extended_attributes,
    find_item,
    object_id,
    pack_extended_attributes,
    pack_items,
    parse_extended_attributes,
    parse_items,
    parse_old_xattrs,
    set_item,
    unix_data,
)
from wimtui.engine.image.view import ImageView
from wimtui.engine.tree import Ino

U32 = st.integers(0, 2**32 - 1)
GUIDS = [UUID(int=number * 0x11111111111111111111111111111111) for number in range(1, 5)]


def sid(*parts: int, authority: int = 5) -> bytes:
    return (
        bytes([1, len(parts)])
        + authority.to_bytes(6, "big")
        + struct.pack(f"<{len(parts)}I", *parts)
    )


def ace(kind: int, flags: int, mask: int, body: bytes) -> bytes:
    return struct.pack("<BBHI", kind, flags, 8 + len(body), mask) + body


def acl(*aces: bytes) -> bytes:
    body = b"".join(aces)
    return struct.pack("<BBHHH", 2, 0, 8 + len(body), len(aces), 0) + body


def descriptor(control: int, *parts: bytes) -> bytes:
    """Owner, group, SACL, DACL; empty for none."""
    offsets, body = [], b""
    for part in parts:
        offsets.append(20 + len(body) if part else 0)
        body += part
    return struct.pack("<BBHIIII", 1, 0, control | 0x8000, *offsets) + body


ADMINS, SYSTEM, USER = sid(32, 544), sid(18), sid(21, 1, 2, 3, 1001)
USUAL = descriptor(
    0x8414,
    ADMINS,
    SYSTEM,
    acl(ace(0x11, 0, 1, sid(8192, authority=16))),
    acl(ace(0, 3, 0x1F01FF, SYSTEM), ace(1, 0x10, 0x1200A9, USER), ace(0, 0, 0x80000000, ADMINS)),
)


def test_sddl() -> None:
    assert sddl_text(USUAL) == (
        "O:BAG:SYD:AI(A;CIOI;FA;;;SY)(D;ID;0x1200a9;;;S-1-5-21-1-2-3-1001)(A;;GR;;;BA)"
        "S:(ML;;NW;;;ME)"
    )


def test_sddl_of_unusual_entries() -> None:
    guid = UUID("bf967aba-0de6-11d0-a285-00aa003049e2")
    object_ace = ace(5, 0, 0x10, struct.pack("<I", 1) + guid.bytes_le + SYSTEM)
    callback = ace(9, 0, 0x1F01FF, sid(0, authority=1) + b"artx")
    unknown = ace(0x42, 0, 7, b"\x01\x02\x03\x04")
    text = sddl_text(descriptor(4, b"", b"", b"", acl(object_ace, callback, unknown)))
    assert text == (f"D:(OA;;0x10;{guid};;SY)(XA;;FA;;;WD;61727478)(0x42;;;;;0700000001020304)")
    assert sddl_text(descriptor(4, b"", b"", b"", b"")) == "D:NO_ACCESS_CONTROL"
    assert sddl_text(descriptor(0, b"", b"", b"", b"")) == ""


@given(st.one_of(st.binary(max_size=80), st.integers(0, len(USUAL) - 1).map(lambda n: USUAL[:n])))
def test_malformed_descriptors(data: bytes) -> None:
    try:
        sddl_text(data)
    except MetadataError as error:
        assert "security descriptor" in str(error)  # noqa: PT017


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_security_data_round_trip(descriptors: list[bytes]) -> None:
    table = SecurityData.build(descriptors)
    again = SecurityData.parse(memoryview(table.raw + b"rest"))
    assert again.raw == table.raw
    assert again.root_offset % 8 == 0
    assert again.descriptors() == descriptors
    assert again.descriptor(len(descriptors)) is None
    assert again.descriptor(-1) is None


def test_security_data_variants() -> None:
    assert SecurityData.parse(memoryview(bytes(16))).root_offset == 8
    unrounded = struct.pack("<IIQ", 19, 1, 3) + b"abc" + bytes(5) + b"root"
    table = SecurityData.parse(memoryview(unrounded))
    assert (table.root_offset, table.descriptor(0)) == (24, b"abc")
    padded = struct.pack("<IIQ", 48, 1, 3) + b"abc" + bytes(29)
    assert SecurityData.parse(memoryview(padded)).root_offset == 48


def test_security_data_can_be_extended() -> None:
    table = SecurityData.build([b"a", b"b", b"a"])
    same, ids = table.extended([b"b", b"a"])
    assert (same.raw, ids) == (table.raw, [1, 0])
    more, ids = table.extended([b"c", b"b", b"c"])
    assert more.descriptors() == [b"a", b"b", b"a", b"c"]
    assert ids == [3, 1, 3]


ITEM_LISTS = st.lists(st.builds(TaggedItem, U32, st.binary(max_size=40)), max_size=5)


@given(ITEM_LISTS)
def test_items_round_trip(items: list[TaggedItem]) -> None:
    assert parse_items(pack_items(items)) == items


@given(st.binary(max_size=100))
def test_malformed_item_lists_end_early(raw: bytes) -> None:
    assert len(parse_items(raw)) <= len(raw) // 8
    unix_data(raw)
    object_id(raw)
    extended_attributes(raw)


@given(ITEM_LISTS, st.binary(min_size=16, max_size=20))
def test_setting_an_item(items: list[TaggedItem], data: bytes) -> None:
    raw = set_item(pack_items(items), ItemTag.UNIX_DATA, data)
    assert find_item(raw, ItemTag.UNIX_DATA) == data
    others = [item for item in items if item.tag != ItemTag.UNIX_DATA]
    assert parse_items(raw) == [*others, TaggedItem(ItemTag.UNIX_DATA, data)]
    assert parse_items(set_item(raw, ItemTag.UNIX_DATA, None)) == others


def test_short_items_do_not_count() -> None:
    raw = pack_items([TaggedItem(ItemTag.OBJECT_ID, bytes(15)), TaggedItem(1, GUIDS[0].bytes_le)])
    assert object_id(raw) == ObjectId(GUIDS[0])


@given(U32, U32, U32, U32)
def test_unix_data_round_trip(uid: int, gid: int, mode: int, rdev: int) -> None:
    data = UnixData(uid, gid, mode, rdev)
    assert UnixData.parse(data.pack()) == data


def test_object_ids() -> None:
    assert ObjectId.parse(b"".join(guid.bytes_le for guid in GUIDS)) == ObjectId(*GUIDS)
    for value in (ObjectId(GUIDS[0]), ObjectId(*GUIDS)):
        assert ObjectId.parse(value.pack()) == value


EAS = st.lists(
    st.builds(
        ExtendedAttribute,
        st.binary(min_size=1, max_size=255).filter(lambda name: 0 not in name),
        st.binary(max_size=300),
        st.sampled_from([0, 0x80]),
    ),
    max_size=4,
)


@given(EAS)
def test_extended_attributes_round_trip(entries: list[ExtendedAttribute]) -> None:
    assert parse_extended_attributes(pack_extended_attributes(entries)) == entries
    listed = pack_ea_list(entries)
    assert len(listed) % 4 == 0
    assert [ExtendedAttribute(*entry) for entry in parse_ea_list(listed)] == entries


def test_largest_extended_attribute() -> None:
    entries = [ExtendedAttribute(b"n" * 255, bytes(65535))]
    assert parse_extended_attributes(pack_extended_attributes(entries)) == entries


@given(st.binary(max_size=60))
def test_malformed_extended_attributes_end_early(data: bytes) -> None:
    parse_extended_attributes(data)
    parse_old_xattrs(data)
    try:
        parse_ea_list(data)
    except ValueError as error:
        assert str(error).startswith("EA entry")  # noqa: PT017


def test_old_xattrs_count_only_without_the_current_item() -> None:
    entry = struct.pack("<HHI", 6, 0, 3) + b"user.aval" + bytes(3)
    old = entry + struct.pack("<HHI", 6, 0, 0) + b"user.b"
    expected = [ExtendedAttribute(b"user.a", b"val"), ExtendedAttribute(b"user.b", b"")]
    assert parse_old_xattrs(old) == expected
    raw = pack_items([TaggedItem(ItemTag.OLD_XATTRS, old)])
    assert extended_attributes(raw) == expected
    current = pack_extended_attributes([ExtendedAttribute(b"user.c", b"x")])
    raw += pack_items([TaggedItem(ItemTag.EXTENDED_ATTRIBUTES, current)])
    assert extended_attributes(raw) == [ExtendedAttribute(b"user.c", b"x")]


def test_attribute_names() -> None:
    assert attribute_names(0x21) == ["READONLY", "ARCHIVE"]
    assert attribute_names(0x80000080) == ["NORMAL", "0x80000000"]
    assert attribute_names(0) == []
    assert is_plain_directory(DIRECTORY)
    assert not is_plain_directory(DIRECTORY | REPARSE)


TAGGED = pack_items(
    [
        TaggedItem(ItemTag.UNIX_DATA, UnixData(1, 2, 0o100644, 0).pack()),
        TaggedItem(ItemTag.OBJECT_ID, ObjectId(*GUIDS).pack()),
        TaggedItem(
            ItemTag.EXTENDED_ATTRIBUTES,
            pack_extended_attributes([ExtendedAttribute(b"user.a", b"value", 0x80)]),
        ),
    ]
)


def image() -> ImageMetadata:
    root = directory(
        "",
        directory("d", Raw("Long name.txt", 0x21, sha1=sha(1), group=77, short_name="Longna~1.txt",
                           security_id=0, times=(10, 20, 30), tagged=TAGGED, unknown=5,
                           extras=[("ads", sha(2))])),
        Raw("hard", 0x21, sha1=sha(1), group=77),
        Raw("link", REPARSE, tag=SYMLINK_TAG, reserved=3, rp_flags=1,
            extras=[("", sha(3)), ("", bytes(20))]),
        Raw("zero", 0),
    )  # fmt: skip
    return ImageMetadata.parse(build(root, security_data(USUAL)))


def test_details() -> None:
    metadata = image()
    dentry = metadata.find(b"/d/Long name.txt")
    assert dentry is not None
    details = file_details(metadata, dentry)
    assert (details.path, details.short_name) == (b"/d/Long name.txt", b"Longna~1.txt")
    assert details.attribute_names == ("READONLY", "ARCHIVE")
    assert (details.security_id, details.security_descriptor) == (0, USUAL)
    assert details.sddl is not None
    assert details.sddl.startswith("O:BAG:SY")
    assert (details.creation_time, details.access_time, details.write_time) == (10, 20, 30)
    assert (details.group_id, details.link_count) == (77, 2)
    assert details.unix_data == UnixData(1, 2, 0o100644, 0)
    assert details.object_id == ObjectId(*GUIDS)
    assert details.extended_attributes == (ExtendedAttribute(b"user.a", b"value", 0x80),)
    assert details.streams == (
        Stream(StreamKind.DATA, sha(1)), Stream(StreamKind.NAMED, sha(2), b"ads"),
    )  # fmt: skip
    assert details.unknown_0x54 == 5
    hard = metadata.find(b"hard")
    assert hard is not None
    other = file_details(metadata, hard)
    assert (other.path, other.short_name, other.ino) == (b"/hard", b"", details.ino)
    assert other.streams == details.streams
    link = metadata.find(b"link")
    assert link is not None
    link_details = file_details(metadata, link)
    assert link_details.streams == (Stream(StreamKind.REPARSE, sha(3)),)
    assert (link_details.reparse_tag_name, link_details.reparse_reserved) == ("SYMLINK", 3)


def test_ntfs_attributes() -> None:
    metadata = image()
    blobs = FakeBlobs()
    blobs.contents[sha(3)] = b"reparse data"
    view = ImageView(metadata, blobs)
    dentry = metadata.find(b"/d/Long name.txt")
    assert dentry is not None
    ino = Ino(metadata.columns.ino(dentry))

    def get(name: str, of: Ino = ino) -> bytes:
        return view.get_xattr(of, b"system.ntfs_" + name.encode())

    assert get("attrib") == struct.pack("=I", 0x21)
    assert get("attrib_be") == struct.pack(">I", 0x21)
    assert get("times") == struct.pack("=4Q", 10, 30, 20, 30)
    assert get("times_be") == struct.pack(">4Q", 10, 30, 20, 30)
    assert get("crtime") == struct.pack("=Q", 10)
    assert get("crtime_be") == struct.pack(">Q", 10)
    assert get("acl") == USUAL
    assert get("dos_name") == b"LONGNA~1.TXT"
    assert get("object_id") == ObjectId(*GUIDS).pack()
    assert get("ea") == struct.pack("<IBBH", 20, 0x80, 6, 5) + b"user.a\0value"
    link, zero, root = (
        Ino(metadata.columns.ino(metadata.find(name) or 0)) for name in (b"link", b"zero", b"/")
    )
    assert get("reparse_data", link) == struct.pack("<IHH", SYMLINK_TAG, 12, 3) + b"reparse data"
    assert get("attrib", zero) == struct.pack("=I", 0x80)
    assert get("attrib", root) == struct.pack("=I", DIRECTORY)
    for name in ("acl", "dos_name", "reparse_data", "object_id", "ea", "efsinfo", ""):
        with pytest.raises(NoSuchAttributeError):
            get(name, zero)
    assert view.list_xattrs(ino) == [b"user.ads"]
