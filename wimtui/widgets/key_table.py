"""The table of keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from wimtui.widgets.cells import Cell
from wimtui.widgets.column_table import Column, ColumnTable

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One action."""

    group: str
    keys: str
    name: str
    description: str
    binding_id: str
    """Name for it in the settings' ``keys``; may be empty."""

    def text(self) -> str:
        """All that a filter looks at."""
        return f"{self.group} {self.keys} {self.name} {self.description}".casefold()


class KeyTable(ColumnTable[KeyRow]):
    """Keys and what they do."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("keys", "KEYS", 10, flex=1, most=18),
        Column("name", "ACTION", 14, flex=1, most=20),
        Column("description", "WHAT IT DOES", 40, flex=4),
        Column("group", "WHERE", 11, rank=1),
        Column("id", "ID", 14, rank=2),
    )

    def row_key(self, row: KeyRow) -> tuple[str, str, str]:
        """Group, keys and name."""
        return (row.group, row.keys, row.name)

    def cell(self, row: KeyRow, key: str) -> Cell | str:
        """What a column shows of an action."""
        match key:
            case "keys":
                return Cell(row.keys, "accent")
            case "name":
                return Cell(row.name, "strong")
            case "description":
                return row.description
            case "group":
                return Cell(row.group, "muted")
            case _:
                return Cell(row.binding_id, "muted")
