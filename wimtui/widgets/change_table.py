"""Staged changes as a tree whose rows are a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from wimtui.service.change_tree import KINDS
from wimtui.widgets.cells import NOTHING, Cell, plain, size_text
from wimtui.widgets.column_table import Column, ColumnTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wimtui.service.change_tree import ChangeNode, ChangeTree
    from wimtui.service.changes import StagedChange
    from wimtui.widgets.cells import Tone

MANY = 500
"""Rows beyond which a tree that is shown first has all its folders closed."""

KIND_TONES: dict[str, Tone] = {
    "added": "good",
    "modified": "warn",
    "deleted": "bad",
    "renamed": "info",
}


class ChangeTable(ColumnTable["ChangeNode"]):
    """The changes of one mount. It stays where it is when the tree becomes another."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("kind", "", 1),
        Column("name", "CHANGED", 18, flex=6),
        Column("before", "BEFORE", 6, align="right", rank=2),
        Column("after", "AFTER", 6, align="right", rank=1),
        Column("what", "WHAT", 12, flex=1, most=30, rank=3),
    )
    BINDINGS: ClassVar = [
        Binding("right,l", "open", "Open folder", show=False),
        Binding("left,h", "shut", "Close folder", show=False),
        Binding("space", "open_or_shut", "Open or close", show=False),
        Binding("minus", "shut_all", "Close all folders", show=False),
        Binding("plus,equals_sign", "open_all", "Open all folders", show=False),
    ]

    def __init__(self, *, id: str | None = None, hint: str = "", classes: str = "") -> None:
        super().__init__(id=id, hint=hint, classes=classes)
        self._tree: ChangeTree | None = None
        self._is_first = True
        self._shut: set[str] = set()
        self._filter = ""

    # Content

    def set_tree(self, tree: ChangeTree, hint: str) -> None:
        """Show another tree; cursor, open folders and what is on screen stay."""
        is_first, self._is_first = self._is_first, False
        self._tree = tree
        if is_first and sum(1 for _ in tree.rows(self._is_shut)) > MANY:
            self._shut_all()
        self._rebuild(hint)

    def set_filter(self, text: str) -> None:
        """Show only paths that hold a text, in any case, and the folders above them."""
        self._filter = text.casefold()
        self._rebuild()

    def clear(self, hint: str) -> None:
        """Show nothing but a hint; what is open stays so where the tree comes back."""
        self._tree = None
        self.show([], hint)

    def _is_shut(self, path: str) -> bool:
        return path in self._shut

    def _is_wanted(self, node: ChangeNode) -> bool:
        change = node.change
        if change is not None and self._filter in (change.old_path or "").casefold():
            return True
        return self._filter in node.path.casefold()

    def _rebuild(self, hint: str | None = None) -> None:
        if self._tree is None:
            return
        line = self.cursor - round(self.scroll_offset.y)
        if self._filter:
            # What was looked for shall be seen, whatever is closed.
            rows = list(self._tree.rows(lambda _: False, self._is_wanted))
        else:
            rows = list(self._tree.rows(self._is_shut))
        self.show(rows, hint)
        if self.scroll_offset.y or self.cursor > line:
            top = max(self.cursor - line, 0)
            self.scroll_to(y=top, animate=False, force=True, immediate=True)

    # Opening and closing

    def action_open(self) -> None:
        """Open the folder, or go to its first name."""
        node = self.current
        if node is None or not node.children:
            return
        if self._is_shut(node.path) and not self._filter:
            self._shut.discard(node.path)
            self._rebuild()
        else:
            self.action_cursor_by(1)

    def action_shut(self) -> None:
        """Close the folder, or go to the one it is in."""
        node = self.current
        if node is None:
            return
        if node.children and not self._is_shut(node.path) and not self._filter:
            self._shut.add(node.path)
            self._rebuild()
        elif node.parent is not None:
            self.move_to(node.parent.key)

    def action_open_or_shut(self) -> None:
        """Open or close the folder."""
        node = self.current
        if node is None or not node.children or self._filter:
            return
        self._shut.symmetric_difference_update({node.path})
        self._rebuild()

    def action_shut_all(self) -> None:
        """Close all folders."""
        top = self.current
        while top is not None and top.depth > 1:
            top = top.parent
        self._shut_all()
        self._rebuild()
        if top is not None:
            self.move_to(top.key)

    def _shut_all(self) -> None:
        if self._tree is not None:
            rows = self._tree.rows(lambda _: False)
            self._shut.update(node.path for node in rows if node.children)

    def action_open_all(self) -> None:
        """Open all folders."""
        self._shut.clear()
        self._rebuild()

    def action_select(self) -> None:
        """Open or close a folder; choose anything else."""
        if self.current is not None and self.current.children:
            self.action_open_or_shut()
        else:
            super().action_select()

    def clicked(self, number: int, x: int) -> None:
        """A click on a folder's arrow opens or closes it at once."""
        node = self.rows[number]
        arrow = 4 + 2 * max(node.depth - 1, 0)
        if node.children and arrow <= x <= arrow + 1:
            self.cursor = number
            self.action_open_or_shut()
        else:
            super().clicked(number, x)

    # Cells

    def row_key(self, row: ChangeNode) -> str:
        """The path, and the kind where two changes have one path."""
        return row.key

    def cell(self, row: ChangeNode, key: str) -> Cell | str:
        """What a column shows of a change or a folder."""
        match key:
            case "kind":
                return kind_badge(row.change)
            case "name":
                return self._label(row)
            case "before":
                return _size(row, row.size_before, is_there=row.change is None or _was(row.change))
            case "after":
                return _size(row, row.size_after, is_there=row.change is None or _is(row.change))
            case _:
                return Cell(what_text(row), "muted")

    def _label(self, row: ChangeNode) -> Cell:
        is_open = bool(self._filter) or not self._is_shut(row.path)
        arrow = ("▾" if is_open else "▸") if row.children else " "
        name = plain(row.name) + ("/" if row.is_folder and row.depth else "")
        if row.change is not None and row.change.old_path is not None:
            name = f"{old_name(row.change)} → {name}"
        tone: Tone = "accent" if row.is_folder else ""
        if row.change is not None and row.change.kind == "deleted":
            tone = "muted"
        return Cell(f"{'  ' * max(row.depth - 1, 0)}{arrow} {name}", tone)


def kind_badge(change: StagedChange | None) -> Cell:
    """A letter for what happened."""
    if change is None:
        return Cell(" ")
    return Cell(change.kind[0].upper(), KIND_TONES.get(change.kind, ""))


def old_name(change: StagedChange) -> str:
    """The former name of what was renamed; ``…/`` says that it was in another folder."""
    folder, _, name = (change.old_path or "").rpartition("/")
    old = name if folder == change.path.rpartition("/")[0] else f"…/{name}"
    return plain(old) + ("/" if change.is_directory else "")


def what_text(node: ChangeNode) -> str:
    """What of a file changed; of a folder how many of each kind."""
    if node.children:
        return " ".join(
            f"{number:,}{kind[0].upper()}"
            for kind, number in zip(KINDS, node.counts, strict=True)
            if number
        )
    if node.change is None:
        return ""
    # That it has another name is seen.
    return ", ".join(part for part in node.change.what if part != "names") or (
        "names" if node.change.what and node.change.kind == "modified" else ""
    )


def totals_text(node: ChangeNode) -> str:
    """Numbers of changes by kind, and by how much the files have grown."""
    found = zip(KINDS, node.counts, strict=True)
    counts = [f"{number:,} {kind}" for kind, number in found if number]
    if not counts:
        return ""
    growth = node.growth
    sign = "-" if growth < 0 else "+"
    return f"{', '.join(counts)}, {sign}{size_text(abs(growth))}"


def _was(change: StagedChange) -> bool:
    return change.size_before is not None


def _is(change: StagedChange) -> bool:
    return change.size_after is not None


def _size(row: ChangeNode, nbytes: int, *, is_there: bool) -> Cell | str:
    if row.children:
        return Cell(size_text(nbytes), "muted")
    if not is_there or row.is_folder:
        return Cell(NOTHING, "muted")
    return size_text(nbytes)
