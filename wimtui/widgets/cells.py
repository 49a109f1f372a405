"""Text that is safe and fits: what tables and panels show of names, sizes, times and rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from rich.cells import cell_len, set_cell_size

Elide = Literal["end", "start", "middle"]
Tone = Literal["", "muted", "strong", "accent", "good", "warn", "bad", "info"]

_UNITS = ("B", "K", "M", "G", "T", "P")
_BARS = "▁▂▃▄▅▆▇█"
_EPOCH_1601 = datetime(1601, 1, 1, tzinfo=UTC)
_ELLIPSIS = "…"
NOTHING = "-"
"""Shown for a value that is not there."""
# Controls, bidirectional overrides and line separators would move or hide other text.
_UNSAFE = dict.fromkeys(
    (
        *range(0x20), *range(0x7F, 0xA0), 0x00AD, 0x061C, *range(0x200B, 0x2010),
        *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC),
    ),
    "\ufffd",
)  # fmt: skip
_UNSAFE_IN_TEXT = {code: sign for code, sign in _UNSAFE.items() if code not in (0x09, 0x0A)}


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and how it is to look."""

    text: str
    tone: Tone = ""


def plain(text: str) -> str:
    """Return a name as one line that does nothing to a terminal; odd bytes become U+FFFD."""
    return _valid(text).translate(_UNSAFE)


def plain_text(text: str) -> str:
    """Return text of several lines in the same way; tabs become spaces."""
    return _valid(text).translate(_UNSAFE_IN_TEXT).expandtabs(4)


def _valid(text: str) -> str:
    if _is_utf8(text):
        return text
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def fit(text: str, width: int, *, elide: Elide = "end", align: str = "left") -> str:
    """Return text in exactly ``width`` cells, an ellipsis where it was too long."""
    length = cell_len(text)
    if length <= width:
        padding = " " * (width - length)
        return padding + text if align == "right" else text + padding
    if width <= 1:
        return set_cell_size(_ELLIPSIS, max(width, 0))
    if elide == "end":
        return set_cell_size(set_cell_size(text, width - 1).rstrip(" ") + _ELLIPSIS, width)
    if elide == "start":
        return set_cell_size(_ELLIPSIS + _last_cells(text, width - 1), width)
    left = (width - 1) // 2
    head = set_cell_size(text, left)
    return set_cell_size(head + _ELLIPSIS + _last_cells(text, width - 1 - left), width)


def _last_cells(text: str, width: int) -> str:
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= width:
        start -= 1
    return text[start:]


def size_text(nbytes: int) -> str:
    """Return a size in at most six cells: ``512 B``, ``1.4 K``, ``23 M``."""
    value = float(nbytes)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            if unit == "B" or value >= 99.5:
                return f"{value:.0f} {unit}"
            return f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def exact_size_text(nbytes: int) -> str:
    """Return a size with its bytes: ``1.4 K (1,434 bytes)``."""
    return f"{nbytes:,} bytes" if nbytes < 1000 else f"{size_text(nbytes)} ({nbytes:,} bytes)"


def count_text(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 change``, ``1,234 changes``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def ticks_text(ticks: int, *, seconds: bool = True) -> str:
    """Return a FILETIME in UTC, or a dash for none."""
    if ticks <= 0:
        return NOTHING
    try:
        time = _EPOCH_1601 + timedelta(microseconds=ticks // 10)
    except OverflowError:
        return NOTHING
    return f"{time:%Y-%m-%d %H:%M:%S}" if seconds else f"{time:%Y-%m-%d %H:%M}"


def age_text(seconds: float) -> str:
    """Return a duration in at most seven cells: ``12 s``, ``3 m 20``, ``5 h 02``, ``12 d``."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02}"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02}"
    return f"{whole // 86400} d"


def rate_text(per_second: float) -> str:
    """Return a number of operations in a second."""
    if per_second < 0.5:
        return "0"
    if per_second < 1000:
        return f"{per_second:.0f}"
    return f"{per_second / 1000:.1f}k"


def spark_text(values: list[float], width: int) -> str:
    """Return the last values as bars, highest full."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return ("▁" * len(shown)).rjust(width)
    steps = len(_BARS) - 1
    bars = (_BARS[min(steps, round(value / top * steps))] for value in shown)
    return "".join(bars).rjust(width)


_ATTRIBUTE_SIGNS = (
    (0x1, "R"), (0x2, "H"), (0x4, "S"), (0x20, "A"), (0x400, "L"), (0x800, "C"), (0x4000, "E"),
    (0x200, "P"),
)  # fmt: skip


def attributes_text(attributes: int) -> str:
    """Return the usual letters of Windows: ``RHS-A---``."""
    return "".join(sign if attributes & bit else "-" for bit, sign in _ATTRIBUTE_SIGNS)
