"""The list of WIMs: those in use, and those opened lately."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from wimtui.widgets.cells import Cell, plain
from wimtui.widgets.column_table import Column, ColumnTable

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class WimRow:
    """One WIM."""

    path: str
    mount_count: int
    is_recent: bool


class WimTable(ColumnTable[WimRow]):
    """WIMs, one a row."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("use", "", 1),
        Column("name", "NAME", 12, flex=3, elide="middle"),
        Column("folder", "FOLDER", 10, flex=2, elide="start", rank=1),
    )

    def row_key(self, row: WimRow) -> str:
        """The path."""
        return row.path

    def cell(self, row: WimRow, key: str) -> Cell | str:
        """What a column shows of a WIM."""
        path = PurePath(row.path)
        match key:
            case "use":
                return Cell("●", "good") if row.mount_count else Cell("·", "muted")
            case "name":
                return plain(path.name)
            case _:
                return Cell(plain(str(path.parent)), "muted")
