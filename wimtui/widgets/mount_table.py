"""The table of mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from wimtui.widgets.cells import NOTHING, Cell, age_text, plain, rate_text, size_text, spark_text
from wimtui.widgets.column_table import Column, ColumnTable
from wimtui.widgets.mount_rows import MountRow

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPARK_WIDTH = 12


class MountTable(ColumnTable[MountRow]):
    """All mounts, one a row."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("status", "STATUS", 15),
        Column("mode", "MODE", 4, rank=1),
        Column("point", "MOUNT POINT", 18, flex=3, most=60, elide="middle"),
        Column("wim", "WIM", 16, flex=2, most=40, elide="middle"),
        Column("image", "IMAGE", 14, flex=2, most=40, rank=9),
        Column("changes", "CHG", 5, align="right", rank=2),
        Column("staged", "STAGED", 6, align="right", rank=7),
        Column("read", "READ", 6, align="right", rank=8),
        Column("hits", "HITS", 4, align="right", rank=6),
        Column("open", "OPEN", 4, align="right", rank=3),
        Column("uptime", "UP", 7, align="right", rank=4),
        Column("rate", "R/S", 5, align="right", rank=5),
        Column("spark", "READS", _SPARK_WIDTH, rank=10),
    )

    def row_key(self, row: MountRow) -> str:
        """The mount id, or the mount point of a mount without one."""
        return row.key

    def cell(self, row: MountRow, key: str) -> Cell | str:
        """What a column shows of a mount."""
        summary, activity = row.summary, row.activity
        match key:
            case "status":
                return row.badge
            case "mode":
                return Cell(summary.mode, "accent" if summary.mode == "rw" else "muted")
            case "point":
                return plain(summary.mount_point)
            case "wim":
                index = f" [{summary.image_index}]" if summary.image_index else ""
                return row.wim_name + index
            case "image":
                return Cell(plain(summary.image_name), "muted")
            case "uptime":
                return NOTHING if row.uptime is None else age_text(row.uptime)
            case "changes":
                return _count(row.changes)
            case "staged":
                return NOTHING if not row.staged_nbytes else size_text(row.staged_nbytes)
            case "spark":
                return Cell(spark_text(list(row.rates), _SPARK_WIDTH).lstrip(), "info")
        if activity is None:
            return Cell(NOTHING, "muted")
        match key:
            case "read":
                return size_text(activity.bytes_read)
            case "hits":
                return row.hits
            case "open":
                return f"{activity.open_handles}"
            case _:
                return rate_text(row.rate)


def _count(count: int | None) -> Cell | str:
    if not count:
        return NOTHING if count is None else "0"
    return Cell(f"{count:,}" if count < 10_000 else f"{count // 1000:,}k", "warn")
