"""The beginning of a file as something to look at: text where it is text, hex elsewhere."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PREVIEW_NBYTES = 64 << 10
HEX_NBYTES = 8 << 10
MAX_NAMES = 500
"""Names shown of a directory."""
_HEX_COLUMNS = 16
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_TEXT_CONTROLS = frozenset("\t\n\r\f\x1b")


class PreviewKind(StrEnum):
    """What a preview shows."""

    TEXT = "text"
    HEX = "hex"
    LINK = "link"
    DIRECTORY = "directory"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Preview:
    """Something to look at."""

    kind: PreviewKind
    text: str
    encoding: str = ""
    size: int = 0
    """Bytes of the whole file."""
    shown_nbytes: int = 0
    """Bytes of it that ``text`` stands for."""

    @property
    def is_cut(self) -> bool:
        """Whether the file goes on after what is shown."""
        return self.shown_nbytes < self.size

    @classmethod
    def of_directory(cls, names: Sequence[str]) -> Preview:
        """Show what a directory holds: the number, then names."""
        count = len(names)
        what = "1 entry" if count == 1 else f"{count:,} entries"
        shown = [what if count else "empty folder", "", *names[:MAX_NAMES]]
        if count > MAX_NAMES:
            shown.append("…")
        return cls(PreviewKind.DIRECTORY, "\n".join(shown))


def preview_of(data: bytes, size: int) -> Preview:
    """Return the preview of a file of ``size`` bytes that begins with ``data``."""
    if not data:
        return Preview(PreviewKind.EMPTY, "empty file")
    found = as_text(data, is_cut=len(data) < size)
    if found is not None:
        text, encoding = found
        return Preview(PreviewKind.TEXT, text, encoding, size, len(data))
    shown = data[:HEX_NBYTES]
    return Preview(PreviewKind.HEX, hex_dump(shown), "", size, len(shown))


def hex_dump(data: bytes, offset: int = 0) -> str:
    """Return lines of offset, 16 bytes in hex, and what of them is printable ASCII."""
    lines = []
    for start in range(0, len(data), _HEX_COLUMNS):
        row = data[start : start + _HEX_COLUMNS]
        left, right = row[:8].hex(" "), row[8:].hex(" ")
        signs = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        lines.append(f"{offset + start:08x}  {left:<23}  {right:<23}  {signs}")
    return "\n".join(lines)


def as_text(data: bytes, *, is_cut: bool) -> tuple[str, str] | None:
    """Return text with its encoding, or None for what is no text.

    UTF-16 is known without a byte order mark too, where nearly all of it is Latin.

    Args:
        data: The beginning of a file.
        is_cut: Whether the file goes on, so that a last character may be cut in two.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            text = _decoded(data[len(bom) :], encoding, is_cut=is_cut)
            return None if text is None else (text, encoding.upper())
    if b"\0" in data:
        if len(data) % 2 and not is_cut:
            return None
        text = _decoded(data, "utf-16-le", is_cut=is_cut)
        is_latin = text is not None and sum(sign < "\u0250" for sign in text) * 10 >= len(text) * 9
        return (text, "UTF-16-LE") if text is not None and is_latin else None
    text = _decoded(data, "utf-8", is_cut=is_cut)
    return None if text is None else (text, "UTF-8")


def _decoded(data: bytes, encoding: str, *, is_cut: bool) -> str | None:
    """Decode, forgiving a character cut in two at the end; None for what is no text."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        text = decoder.decode(data, final=not is_cut)
    except UnicodeDecodeError:
        return None
    strange = sum(1 for sign in text if sign < " " and sign not in _TEXT_CONTROLS)
    return text.replace("\r\n", "\n") if strange * 100 <= len(text) else None
