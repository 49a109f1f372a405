from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.image.raw_metadata import Raw, build, directory
from wimtui.engine.errors import NameEncodingError
from wimtui.engine.image.metadata import ImageMetadata
from wimtui.engine.image.names import (
    collation_key,
    upcase,
    upcase_table,
    utf16_from_wtf8,
    wtf8_from_text,
    wtf8_from_utf16,
)

ANY_UNITS = st.lists(
    st.one_of(
        st.integers(1, 0x7F), st.integers(0x80, 0xFFFF), st.sampled_from([0xD800, 0xDC00, 0xDFFF])
    ),
    min_size=1,
    max_size=12,
)


def encode(units: list[int]) -> bytes:
    return b"".join(unit.to_bytes(2, "little") for unit in units)


def test_upcase_table_is_that_of_windows_10() -> None:
    digest = hashlib.sha1(upcase_table(), usedforsecurity=False).hexdigest()
    assert digest == "5161a18e27b9ca9f5d04f2154576bf1ffb1121e8"


@pytest.mark.parametrize("char", "\u00b5\u0131\u017f\u01c5\u01c8\u01cb\u01f2\u03c2\u10d0")
def test_characters_that_ntfs_leaves_alone(char: str) -> None:
    assert upcase(char) == char


@given(ANY_UNITS)
def test_every_stored_name_has_one_host_name(units: list[int]) -> None:
    stored = encode(units)
    assert utf16_from_wtf8(wtf8_from_utf16(stored)) == stored


def test_unpaired_surrogate_keeps_its_three_byte_form() -> None:
    assert wtf8_from_utf16(b"\x00\xd8") == b"\xed\xa0\x80"
    assert wtf8_from_utf16(b"\x3d\xd8\x00\xde") == "\U0001f600".encode()


@pytest.mark.parametrize(
    "name", [b"\xff", b"\xc0\xaf", b"a\x80", b"\xf5\x80\x80\x80", b"\xe0\x80\x80"]
)
def test_other_bytes_are_refused(name: bytes) -> None:
    with pytest.raises(NameEncodingError):
        utf16_from_wtf8(name)


@given(st.lists(ANY_UNITS, max_size=12))
def test_scanner_agrees_with_python_about_names_order_and_lookup(names: list[list[int]]) -> None:
    texts = [encode(units).decode("utf-16-le", "surrogatepass") for units in names]
    texts = [text for text in texts if "/" not in text and text not in (".", "..")]
    root = directory("", *(Raw(text) for text in texts))
    columns = ImageMetadata.parse(build(root)).columns
    listed = columns.list_children(0)
    assert listed is not None
    expected = sorted({wtf8_from_text(text) for text in texts}, key=collation_key)
    canonical = [wtf8_from_utf16(utf16_from_wtf8(name)) for name in expected]
    assert [name for name, _ in listed] == canonical
    for name, ino in listed:
        found = columns.lookup(0, name)
        assert columns.ino(found) == ino
        upper = wtf8_from_text(upcase(name.decode("utf-8", "surrogatepass")))
        other = columns.name(columns.lookup(0, upper, True))
        assert collation_key(other)[0] == collation_key(name)[0]


def test_exact_match_goes_before_another_case() -> None:
    root = directory("", Raw("readme"), Raw("README"), Raw("ReadMe"), Raw("other"))
    columns = ImageMetadata.parse(build(root)).columns
    for name in (b"readme", b"README", b"ReadMe"):
        assert columns.name(columns.lookup(0, name)) == name
        assert columns.name(columns.lookup(0, name, True)) == name
    assert columns.lookup(0, b"rEADME") == -1
    assert columns.name(columns.lookup(0, b"rEADME", True)) == b"README"
    assert columns.name(columns.lookup(0, b"OTHER", True)) == b"other"


def test_lookup_of_what_is_no_name() -> None:
    columns = ImageMetadata.parse(build(directory("", Raw("a")))).columns
    for name in (b"", b"\xff", b"x" * 1025, b"aa", b"\xed\xa0"):
        assert columns.lookup(0, name, True) == -1
    assert columns.lookup(0, b"a") == 1
    with pytest.raises(IndexError):
        columns.lookup(2, b"a")


def test_many_names_equal_but_for_case() -> None:
    names = ["".join(c.upper() if i >> k & 1 else c for k, c in enumerate("abcdefghij"))
             for i in range(1024)]  # fmt: skip
    metadata = ImageMetadata.parse(build(directory("", *map(Raw, names))))
    for name in names:
        dentry = metadata.columns.lookup(0, name.encode())
        assert metadata.columns.name(dentry) == name.encode()
