"""What needs a decision, one a row, and all that is known of one."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from wimtui.service.recovery import Fit, Recoverable, Trouble, Way
from wimtui.widgets.cells import (
    NOTHING,
    Cell,
    age_text,
    count_text,
    exact_size_text,
    plain,
    size_text,
)
from wimtui.widgets.column_table import Column, ColumnTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wimtui.widgets.cells import Tone
    from wimtui.widgets.fact_list import Fact

_TONES: dict[Trouble, Tone] = {
    Trouble.DEAD: "bad",
    Trouble.DETACHED: "warn",
    Trouble.HALF_WRITTEN: "warn",
}

WAYS: dict[Way, tuple[str, str]] = {
    Way.REMOUNT: ("R", "mount it again, with every change"),
    Way.COMMIT: ("c", "write the changes to the WIM"),
    Way.SAVE_AS: ("e", "write WIM and changes to another file"),
    Way.DISCARD: ("x", "drop what is staged, for good"),
    Way.CLEAR: ("u", "free the mount point; what is staged stays"),
    Way.TRIM: ("t", "cut the file where the archive ends"),
}
"""Key and meaning of what can be done."""


class RecoverableTable(ColumnTable[Recoverable]):
    """What needs a decision."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("trouble", "WHAT", 15),
        Column("wim", "WIM", 14, flex=2, most=40, elide="middle"),
        Column("point", "MOUNT POINT", 14, flex=3, most=60, elide="middle"),
        Column("changes", "CHANGES", 7, align="right"),
        Column("staged", "STAGED", 6, align="right", rank=1),
        Column("age", "AGE", 7, align="right", rank=2),
    )

    now = 0.0
    """Seconds since 1970, of the last look."""

    def row_key(self, row: Recoverable) -> str:
        """What commands call it."""
        return row.target

    def cell(self, row: Recoverable, key: str) -> Cell | str:
        """What a column shows of it."""
        match key:
            case "trouble":
                return Cell(f"● {row.trouble}", _TONES[row.trouble])
            case "wim":
                name = plain(PurePath(row.wim_path).name) or NOTHING
                return f"{name} [{row.image_index}]" if row.image_index else name
            case "point":
                return plain(row.mount_point) or NOTHING
            case "changes":
                if row.fit is Fit.COMMITTED:
                    return Cell("in WIM", "good")
                return NOTHING if row.change_count is None else f"{row.change_count:,}"
            case "staged":
                nbytes = row.staged_nbytes or row.left_nbytes
                return size_text(nbytes) if nbytes else NOTHING
            case _:
                return age_text(self.now - row.created) if row.created else NOTHING


def recoverable_facts(row: Recoverable, now: float) -> Iterator[Fact]:
    """Return what it is, what it holds, and what can be done."""
    yield "What", Cell(str(row.trouble), _TONES[row.trouble])
    yield "Why", plain(row.why)
    yield "WIM", Cell(plain(row.wim_path), "strong")
    if row.image_index:
        yield "Image", f"{row.image_index}  {plain(row.image_name)}".rstrip()
    if row.mount_point:
        mode = {"ro": "read-only", "rw": "read-write"}.get(row.mode, "")
        yield "Mount point", plain(row.mount_point) + (f", {mode}" if mode else "")
    if row.staging_path:
        yield "Staged in", plain(row.staging_path)
    if row.change_count is not None:
        size = exact_size_text(row.staged_nbytes or 0)
        yield "Changes", f"{count_text(row.change_count, 'change')}, {size} staged"
    if row.kinds:
        yield "", ", ".join(f"{count:,} {kind}" for kind, count in row.kinds)
    if row.left_nbytes:
        yield "Left behind", exact_size_text(row.left_nbytes)
    if row.staging_path:
        yield "Fits", Cell(str(row.fit), "good" if row.fit is Fit.SAME else "warn")
    if row.created:
        yield "Since", f"{age_text(now - row.created)} ago"
    yield "You can", ""
    for way in row.ways:
        key, text = WAYS[way]
        yield f"  {key}", f"{way}: {text}"
    if not row.ways:
        yield "", "nothing from here"
