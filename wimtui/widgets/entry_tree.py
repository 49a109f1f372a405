"""The files of an image as a tree whose rows are a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.message import Message

from wimtui.widgets.cells import NOTHING, Cell, attributes_text, plain, size_text, ticks_text
from wimtui.widgets.column_table import Column, ColumnTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from wimtui.service.browse import ImageEntry

ENTRY_COLUMNS = (
    Column("name", "NAME", 20, flex=6),
    Column("size", "SIZE", 6, align="right"),
    Column("packed", "PACKED", 6, align="right", rank=1),
    Column("modified", "MODIFIED", 16, rank=2),
    Column("attributes", "ATTRIBS", 8, rank=3),
    Column("links", "LINKS", 5, align="right", rank=4),
    Column("streams", "STRMS", 5, align="right", rank=5),
)

SORTS: Mapping[str, Callable[[ImageEntry], Any]] = {
    "name": lambda entry: entry.name.casefold(),
    "size": lambda entry: entry.size,
    "packed": lambda entry: entry.stored_size,
    "modified": lambda entry: entry.write_time,
    "attributes": lambda entry: entry.attributes,
    "links": lambda entry: entry.link_count,
    "streams": lambda entry: entry.stream_count,
}


@dataclass(slots=True, eq=False)
class Node:
    """One name in the tree. ``children`` is None until they were read."""

    entry: ImageEntry
    parent: Node | None
    depth: int
    children: list[Node] | None = None
    is_open: bool = False
    is_loading: bool = False


class EntryTree(ColumnTable[Node]):
    """A tree of names; folders are read when they are opened first."""

    COLUMNS: ClassVar[Sequence[Column]] = ENTRY_COLUMNS
    BINDINGS: ClassVar = [
        Binding("right,l", "open", "Open folder", show=False),
        Binding("left,h", "shut", "Close folder", show=False),
        Binding("space", "open_or_shut", "Open or close", show=False),
    ]

    class Wanted(Message):
        """A folder is opened whose names are not known."""

        def __init__(self, node: Node) -> None:
            super().__init__()
            self.node = node

    def __init__(self, *, id: str | None = None, hint: str = "", classes: str = "") -> None:
        super().__init__(id=id, hint=hint, classes=classes)
        self._by_dentry: dict[int, Node] = {}
        self._root: Node | None = None
        self.sort_key = "name"

    # Content

    def set_root(self, root: ImageEntry, children: list[ImageEntry]) -> None:
        """Begin with an image's root, open."""
        node = Node(root, None, 0)
        self._root = node
        self._by_dentry = {root.dentry: node}
        self._fill(node, children)
        node.is_open = True
        self._rebuild()

    def add_children(self, dentry: int, children: list[ImageEntry]) -> None:
        """Take the names in a folder, and open it."""
        node = self._by_dentry.get(dentry)
        if node is None:
            return
        node.is_loading = False
        if node.children is None:
            self._fill(node, children)
        self._open(node)

    def reveal(self, levels: list[tuple[int, list[ImageEntry]]], target: int) -> None:
        """Open every folder on the way to a name, and put the cursor on it."""
        for dentry, children in levels:
            node = self._by_dentry.get(dentry)
            if node is None:
                return
            if node.children is None:
                self._fill(node, children)
            node.is_open = True
        self._rebuild()
        self.move_to(target)

    def _fill(self, node: Node, entries: list[ImageEntry]) -> None:
        """Make nodes; the entries come sorted by name."""
        depth = node.depth + 1
        node.children = [Node(entry, node, depth) for entry in entries]
        self._by_dentry.update((child.entry.dentry, child) for child in node.children)
        if self.sort_key != "name" or self.sort_reverse:
            self._sort_children(node)

    def _sort_children(self, node: Node) -> None:
        key = SORTS[self.sort_key]
        if node.children:
            node.children.sort(key=lambda one: key(one.entry), reverse=self.sort_reverse)
            node.children.sort(key=lambda one: not one.entry.is_directory)

    def sort_by(self, key: str, *, reverse: bool) -> None:
        """Sort the names in each folder, folders first."""
        self.set_sort(key, reverse=reverse)
        for node in self._by_dentry.values():
            self._sort_children(node)
        self._rebuild()

    def _rebuild(self) -> None:
        self.show([] if self._root is None else [self._root, *_below(self._root)])

    # Opening and closing

    def _open(self, node: Node) -> None:
        if node.is_open or node.children is None:
            return
        node.is_open = True
        at = self._row_of(node)
        if at >= 0:
            self.rows[at + 1 : at + 1] = list(_below(node))
            self.rows_changed()

    def _shut(self, node: Node) -> None:
        if not node.is_open:
            return
        node.is_open = False
        at = self._row_of(node)
        end = at + 1
        while end < len(self.rows) and self.rows[end].depth > node.depth:
            end += 1
        if at >= 0:
            del self.rows[at + 1 : end]
            self.rows_changed()

    def _row_of(self, node: Node) -> int:
        if self.current is node:
            return self.cursor
        return next((n for n, row in enumerate(self.rows) if row is node), -1)

    def action_open(self) -> None:
        """Open the folder, or go to its first name."""
        node = self.current
        if node is None or not node.entry.is_directory:
            return
        if node.is_open:
            if node.children:
                self.action_cursor_by(1)
        elif node.children is not None:
            self._open(node)
        elif not node.is_loading:
            node.is_loading = True
            self.refresh()
            self.post_message(self.Wanted(node))

    def action_shut(self) -> None:
        """Close the folder, or go to the one it is in."""
        node = self.current
        if node is None:
            return
        if node.is_open:
            self._shut(node)
        elif node.parent is not None:
            self.cursor = max(self._row_of(node.parent), 0)

    def action_open_or_shut(self) -> None:
        """Open or close the folder."""
        node = self.current
        if node is not None and node.is_open:
            self._shut(node)
        else:
            self.action_open()

    def action_select(self) -> None:
        """Open or close a folder; choose anything else."""
        if self.current is not None and self.current.entry.is_directory:
            self.action_open_or_shut()
        else:
            super().action_select()

    def clicked(self, number: int, x: int) -> None:
        """A click on a folder's arrow opens or closes it at once."""
        node = self.rows[number]
        arrow = 1 + 2 * node.depth
        if node.entry.is_directory and arrow <= x <= arrow + 1:
            self.cursor = number
            self.action_open_or_shut()
        else:
            super().clicked(number, x)

    # Cells

    def row_key(self, row: Node) -> int:
        """The dentry."""
        return row.entry.dentry

    def cell(self, row: Node, key: str) -> Cell | str:
        """What a column shows of a name."""
        if key != "name":
            return entry_cell(row.entry, key)
        entry = row.entry
        arrow = " "
        if entry.is_directory:
            arrow = "…" if row.is_loading else "▾" if row.is_open else "▸"
        elif entry.is_link:
            arrow = "↪"
        name = plain(entry.name) + ("/" if entry.is_directory and row.depth else "")
        tone = "accent" if entry.is_directory else "info" if entry.is_link else ""
        return Cell(f"{'  ' * row.depth}{arrow} {name}", tone)  # type: ignore[arg-type]


def entry_cell(entry: ImageEntry, key: str) -> Cell | str:
    """What a column other than the name shows."""
    match key:
        case "size":
            return Cell(NOTHING, "muted") if entry.is_directory else size_text(entry.size)
        case "packed":
            text = NOTHING if entry.is_directory else size_text(entry.stored_size)
            return Cell(text, "muted")
        case "modified":
            return Cell(ticks_text(entry.write_time, seconds=False), "muted")
        case "attributes":
            return Cell(attributes_text(entry.attributes), "muted")
        case "links":
            many = entry.link_count > 1 and not entry.is_directory
            return Cell(f"{entry.link_count}", "accent") if many else Cell("1", "muted")
        case _:
            many = entry.stream_count > 0
            return Cell(f"{entry.stream_count}", "accent") if many else Cell(NOTHING, "muted")


def _below(node: Node) -> Iterator[Node]:
    """Yield what is visible below a node, in order."""
    if not node.is_open:
        return
    pending = list(reversed(node.children or ()))
    while pending:
        one = pending.pop()
        yield one
        if one.is_open and one.children:
            pending.extend(reversed(one.children))
