"""The one writer of standard output: facts, tables, JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from wimtui.cli.diagnostics import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from _typeshed import DataclassInstance


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
