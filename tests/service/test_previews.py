"""Previews: text is told from the rest, whole or cut."""

from __future__ import annotations

import pytest

from wimtui.service.previews import Preview, PreviewKind, hex_dump, preview_of


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"plain\r\ntext\n", "UTF-8"),
        ("grün, 日本語\n".encode(), "UTF-8"),
        (b"\xef\xbb\xbfwith a mark\n", "UTF-8"),
        ("\ufeff[Version]\r\nSignature\r\n".encode("utf-16-le"), "UTF-16-LE"),
        ("\ufeffbig end\n".encode("utf-16-be"), "UTF-16-BE"),
        ("no mark at all\r\n".encode("utf-16-le"), "UTF-16-LE"),
    ],
)
def test_text(data: bytes, encoding: str) -> None:
    shown = preview_of(data, len(data))
    assert (shown.kind, shown.encoding) == (PreviewKind.TEXT, encoding)
    assert "\r\n" not in shown.text
    assert not shown.is_cut


@pytest.mark.parametrize(
    "data", [bytes(range(256)), b"MZ\x90\0\3\0\0\0", b"\xff\xfe\0\xd8\0\xd8", b"\x80\x81\x82"]
)
def test_hex(data: bytes) -> None:
    shown = preview_of(data, len(data))
    assert shown.kind is PreviewKind.HEX
    assert shown.text == hex_dump(data)


def test_a_character_cut_in_two_is_forgiven() -> None:
    data = ("ä" * 100).encode()[:-1]
    assert preview_of(data, 10_000).kind is PreviewKind.TEXT
    assert preview_of(data, len(data)).kind is PreviewKind.HEX


def test_hex_lines() -> None:
    lines = hex_dump(b"0123456789abcdef\x00Z", 16).split("\n")
    assert lines[0] == (
        "00000010  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef"
    )
    assert lines[1].split() == ["00000020", "00", "5a", "·Z"]
    assert len(lines[1].rsplit("  ", 1)[0]) == len(lines[0].rsplit("  ", 1)[0])


def test_empty_and_folders() -> None:
    assert preview_of(b"", 0).kind is PreviewKind.EMPTY
    assert Preview.of_directory(["a", "b/"]).text.split("\n") == ["2 entries", "", "a", "b/"]
