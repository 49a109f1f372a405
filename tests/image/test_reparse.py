from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wimtui.engine.errors import InvalidNameError, ReparseDataError
from wimtui.engine.image.reparse import (
    ReparseLink,
    ReparseTag,
    reparse_buffer,
    symlink_blob,
    tag_name,
    unix_target,
)

SYMLINK, JUNCTION = ReparseTag.SYMLINK, ReparseTag.MOUNT_POINT
NOT_FIXED, FIXED = 1, 0


def blob(tag: ReparseTag, substitute: str, flags: int = 0) -> bytes:
    return ReparseLink(tag, substitute, "print name is never used", flags).pack()


@pytest.mark.parametrize(
    ("substitute", "tag", "flags", "rp_flags", "expected"),
    [
        ("\\??\\C:\\Users\\Public", SYMLINK, 0, NOT_FIXED, "/Users/Public"),
        ("\\??\\C:\\Users\\Public", SYMLINK, 0, FIXED, "/m/Users/Public"),
        ("\\DosDevices\\e:\\Users", SYMLINK, 0, NOT_FIXED, "/Users"),
        ("\\Device\\HarddiskVolume4\\Users", SYMLINK, 0, NOT_FIXED, "/Users"),
        ("\\??\\Volume{GUID}\\Users", SYMLINK, 0, NOT_FIXED, "/Users"),
        ("\\??\\Volume{GUID}\\", JUNCTION, 0, NOT_FIXED, "/"),
        ("\\??\\D:\\data\\x", JUNCTION, 0, NOT_FIXED, "/data/x"),
        ("\\??\\D:\\data\\x", JUNCTION, 0, FIXED, "/m/data/x"),
        ("\\??\\UNC\\server\\share\\dir", SYMLINK, 0, NOT_FIXED, "/server/share/dir"),
        ("\\\\server\\share", SYMLINK, 0, NOT_FIXED, "//server/share"),
        ("..\\foo\\bar", SYMLINK, 1, NOT_FIXED, "../foo/bar"),
        ("..\\foo\\bar", SYMLINK, 1, FIXED, "../foo/bar"),
        ("\\Users\\Public", SYMLINK, 1, NOT_FIXED, "/Users/Public"),
        ("C:\\Users", SYMLINK, 0, NOT_FIXED, "C:/Users"),
        ("\\??\\GLOBALROOT\\Device\\X\\y", SYMLINK, 0, NOT_FIXED, "/Device/X/y"),
        ("a/b\\c", SYMLINK, 1, NOT_FIXED, "a\\b/c"),
        ("\\??\\C:", SYMLINK, 0, NOT_FIXED, "/"),
        ("\\??\\C:", SYMLINK, 0, FIXED, "/m"),
        ("\\??\\C:\\", SYMLINK, 0, FIXED, "/m/"),
        ("", SYMLINK, 1, NOT_FIXED, "/"),
        ("\\??\\\\\\C:\\x", SYMLINK, 0, NOT_FIXED, "/x"),
        ("\\??\\c:\\\u00e9\\\ud800", SYMLINK, 0, NOT_FIXED, "/\u00e9/\ud800"),
    ],
)
def test_targets(
    substitute: str, tag: ReparseTag, flags: int, rp_flags: int, expected: str
) -> None:
    found = unix_target(tag, blob(tag, substitute, flags), rp_flags, b"/m")
    assert found == expected.encode("utf-8", "surrogatepass")


def test_fixed_target_without_a_known_mount_root() -> None:
    assert unix_target(SYMLINK, blob(SYMLINK, "\\??\\C:\\a"), FIXED) == b"/a"
    assert unix_target(SYMLINK, blob(SYMLINK, "\\??\\C:"), FIXED) == b"/"


@pytest.mark.parametrize("size", range(12))
def test_short_data(size: int) -> None:
    with pytest.raises(ReparseDataError, match="too short"):
        ReparseLink.parse(SYMLINK, bytes(size))


@pytest.mark.parametrize(
    "fields", [(1, 0, 0, 0), (0, 3, 0, 0), (0, 0, 5, 0), (0, 0, 0, 7), (0, 6, 0, 0), (4, 2, 0, 0),
               (0, 0, 2, 4), (65534, 65534, 0, 0)]
)  # fmt: skip
def test_odd_or_overflowing_names(fields: tuple[int, int, int, int]) -> None:
    with pytest.raises(ReparseDataError):
        ReparseLink.parse(JUNCTION, struct.pack("<4H", *fields) + b"\0\0\0\0")


def test_names_in_either_order_overlapping_without_nul() -> None:
    names = "print.sub".encode("utf-16-le")
    data = struct.pack("<4HI", 12, 6, 0, 18, 1) + names
    link = ReparseLink.parse(SYMLINK, data)
    assert (link.substitute_name, link.print_name, link.is_relative) == ("sub", "print.sub", True)


def test_other_refusals() -> None:
    with pytest.raises(ReparseDataError, match="WOF is no link"):
        ReparseLink.parse(ReparseTag.WOF, bytes(100))
    with pytest.raises(ReparseDataError, match="exceed 16376"):
        ReparseLink.parse(SYMLINK, bytes(16377))
    with pytest.raises(ReparseDataError, match="NUL"):
        unix_target(SYMLINK, blob(SYMLINK, "a\0b", 1), NOT_FIXED)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(st.sampled_from([SYMLINK, JUNCTION]), NAMES, NAMES, st.integers(0, 2**32 - 1))
def test_round_trip(tag: ReparseTag, substitute: str, shown: str, flags: int) -> None:
    link = ReparseLink(tag, substitute, shown, flags if tag is SYMLINK else 0)
    assert ReparseLink.parse(tag, link.pack()) == link


@given(NAMES.filter(lambda name: name != ""))
def test_made_links_read_back(target: str) -> None:
    encoded = target.encode()
    assert unix_target(SYMLINK, symlink_blob(encoded), NOT_FIXED, b"/m") == encoded


def test_made_link_layout() -> None:
    relative = ReparseLink.parse(SYMLINK, symlink_blob(b"a/b\\c"))
    assert (relative.substitute_name, relative.print_name, relative.flags) == (
        "a\\b/c", "a\\b/c", 1,
    )  # fmt: skip
    absolute = ReparseLink.parse(SYMLINK, symlink_blob(b"/usr/bin"))
    assert (absolute.substitute_name, absolute.print_name, absolute.flags) == (
        "\\??\\C:\\usr\\bin", "C:\\usr\\bin", 0,
    )  # fmt: skip
    assert len(symlink_blob(b"a.txt")) == 36


@pytest.mark.parametrize(("target", "longest"), [(b"x", 4090), (b"/", 4086)])
def test_longest_targets(target: bytes, longest: int) -> None:
    assert len(symlink_blob(target + b"x" * (longest - 1))) == 16376
    for nbytes in (longest, 8200, 100_000):
        with pytest.raises(InvalidNameError, match="too long"):
            symlink_blob(target + b"x" * nbytes)
    with pytest.raises(InvalidNameError, match="too long"):
        symlink_blob(("\U0001f600" * 2046).encode())


def test_made_link_must_be_utf8() -> None:
    with pytest.raises(InvalidNameError, match="UTF-8"):
        symlink_blob(b"\xff")


def test_buffer_and_tag_names() -> None:
    assert reparse_buffer(SYMLINK, 5, b"data") == struct.pack("<IHH", SYMLINK, 4, 5) + b"data"
    third_party = reparse_buffer(0x1234, 0, bytes(16) + b"data")
    assert third_party[:8] == struct.pack("<IHH", 0x1234, 4, 0)
    assert tag_name(0x9000301A) == "CLOUD_3"
    assert tag_name(0x9000001A) == "CLOUD"
    assert tag_name(0x80000017) == "WOF"
    assert tag_name(0x42) == "0x00000042"
