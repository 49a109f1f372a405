"""The processes that use a mount."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from wimtui.widgets.cells import Cell, plain
from wimtui.widgets.column_table import Column, ColumnTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wimtui.service.holders import Holder


class HolderTable(ColumnTable["Holder"]):
    """Processes, one a row."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("pid", "PROCESS", 8, align="right"),
        Column("command", "COMMAND", 12, flex=1, most=24),
        Column("use", "USES", 12, most=16),
        Column("path", "PATH", 12, flex=3, elide="start"),
    )

    def row_key(self, row: Holder) -> int:
        """The process id."""
        return row.pid

    def cell(self, row: Holder, key: str) -> Cell | str:
        """What a column shows of a process."""
        match key:
            case "pid":
                return str(row.pid)
            case "command":
                return Cell(plain(row.command), "strong")
            case "use":
                return Cell(row.use, "muted")
            case _:
                return plain(row.path)
