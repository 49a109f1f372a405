"""The one writer of standard output: facts, tables, JSON; and progress on a terminal."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import humanize

from wimtui.cli.diagnostics import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from _typeshed import DataclassInstance

    from wimtui.engine.progress import Progress


def line(text: str = "") -> None:
    """Write one line; names that are no Unicode go out as the bytes they came from."""
    if sys.stdout.isatty():
        text = "\n".join(map(shown, text.split("\n")))
    sys.stdout.write(text + "\n")


def raw(data: bytes) -> None:
    """Write bytes."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def as_json(value: Any) -> None:
    """Write a value as one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")


def json_line(value: Any) -> None:
    """Write a value as JSON on a line of its own."""
    sys.stdout.write(json.dumps(value, default=_plain) + "\n")


def fields(value: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a dataclass, to be completed or replaced before they are written."""
    return asdict(value)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def facts(rows: Iterable[tuple[str, object]], width: int) -> None:
    """Write ``Label:  value`` lines, values starting in column ``width``."""
    for label, value in rows:
        line(f"{label + ':':<{width}}{value}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write columns as wide as their widest cell; no name in one can command a terminal."""
    rows = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line("  ".join(cells).rstrip())


class ProgressBar:
    """A bar with rate and time left on a terminal's standard error; nothing elsewhere."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled and sys.stderr.isatty()
        self._started = time.monotonic()
        self._drawn = 0.0
        self._phase = ""

    def __call__(self, progress: Progress) -> None:
        """Draw one moment; at most ten times a second."""
        now = time.monotonic()
        if progress.phase != self._phase:
            self._phase, self._started, self._drawn = progress.phase, now, 0.0
        done = progress.bytes_done >= progress.bytes_total > 0
        if not self._enabled or (now - self._drawn < 0.1 and not done):
            return
        self._drawn = now
        sys.stderr.write("\r\x1b[K" + self._text(progress, now - self._started))
        sys.stderr.flush()

    def _text(self, progress: Progress, elapsed: float) -> str:
        fraction = progress.bytes_done / progress.bytes_total if progress.bytes_total else 0.0
        width = 24
        bar = "#" * int(fraction * width)
        rate = progress.bytes_done / elapsed if elapsed > 0.2 else 0.0
        left = (progress.bytes_total - progress.bytes_done) / rate if rate else 0.0
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        text = (
            f"{progress.phase.value} [{bar:<{width}}] {fraction:4.0%} "
            f"{humanize.naturalsize(progress.bytes_done, binary=True)} of "
            f"{humanize.naturalsize(progress.bytes_total, binary=True)} "
            f"{humanize.naturalsize(rate, binary=True)}/s, {left:.0f} s left"
        )
        return text[: columns - 1]

    def close(self) -> None:
        """Take the bar away."""
        if self._enabled and self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
