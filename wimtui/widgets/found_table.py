"""The names that a search found."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from wimtui.widgets.cells import Cell, plain
from wimtui.widgets.column_table import Column, ColumnTable
from wimtui.widgets.entry_tree import ENTRY_COLUMNS, entry_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wimtui.service.browse import FoundEntry


class FoundTable(ColumnTable["FoundEntry"]):
    """Names anywhere in an image, with their paths."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("path", "PATH", 24, flex=6, elide="middle"),
        *ENTRY_COLUMNS[1:],
    )

    def row_key(self, row: FoundEntry) -> int:
        """The dentry."""
        return row.entry.dentry

    def cell(self, row: FoundEntry, key: str) -> Cell | str:
        """What a column shows of a name."""
        if key == "path":
            text = plain(row.path) + ("/" if row.entry.is_directory else "")
            return Cell(text, "accent" if row.entry.is_directory else "")
        return entry_cell(row.entry, key)
