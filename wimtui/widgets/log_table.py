"""The list of log files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from wimtui.widgets.cells import Cell, plain, size_text
from wimtui.widgets.column_table import Column, ColumnTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wimtui.service.log_files import LogFile


@dataclass(frozen=True, slots=True)
class LogRow:
    """One file, and the mount point of its daemon if that lives."""

    file: LogFile
    mount_point: str


class LogTable(ColumnTable[LogRow]):
    """Log files, one a row."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("name", "OF", 14, flex=1, elide="start"),
        Column("size", "SIZE", 6, align="right", rank=1),
    )

    def row_key(self, row: LogRow) -> str:
        """The path."""
        return row.file.path

    def cell(self, row: LogRow, key: str) -> Cell | str:
        """What a column shows of a file."""
        if key == "size":
            return Cell(size_text(row.file.size), "muted")
        if row.mount_point:
            return Cell(plain(row.mount_point), "good")
        name = PurePath(row.file.path).stem
        return Cell(f"mount {row.file.mount_id}", "muted") if row.file.mount_id else plain(name)
