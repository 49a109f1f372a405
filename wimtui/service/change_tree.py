"""Staged changes as a tree of folders, with the totals of what is below each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wimtui.service.changes import StagedChange

KINDS = ("added", "modified", "deleted", "renamed")


@dataclass(slots=True, eq=False)
class ChangeNode:
    """One name in the tree: a change, a folder above changes, or both."""

    name: str
    path: str
    key: str
    """What the node is known by in another tree of the same mount."""
    parent: ChangeNode | None
    depth: int
    change: StagedChange | None = None
    children: list[ChangeNode] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Changes by kind, of the name itself and of all below it."""
    size_before: int = 0
    """Bytes of all changed files, as the image has them."""
    size_after: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it has names below it, or might."""
        return bool(self.children) or self.change is None or self.change.is_directory

    @property
    def count(self) -> int:
        """Number of changes, its own included."""
        return self.counts.total()

    @property
    def growth(self) -> int:
        """Bytes that files have become longer by, together."""
        return self.size_after - self.size_before


class ChangeTree:
    """All changes of one mount at one moment.

    Attributes:
        root: The root folder, whose totals are those of everything.
    """

    def __init__(self, changes: Sequence[StagedChange]) -> None:
        """Make the tree; changes may come in any order."""
        self.root = ChangeNode("/", "/", "/", None, 0)
        self._nodes: dict[str, ChangeNode] = {"/": self.root}
        for change in sorted(changes, key=lambda one: (one.path.count("/"), not one.is_directory)):
            self._add(change)
        self._finish(self.root)

    def _add(self, change: StagedChange) -> None:
        node = self._nodes.get(change.path)
        if node is None or node.change is not None:
            # A folder that is gone and a file in its place have one path.
            key = change.path if node is None else f"{change.path}\0{change.kind}"
            above = self._folder(change.path.rpartition("/")[0] or "/")
            name = change.path.rpartition("/")[2]
            node = ChangeNode(name, change.path, key, above, above.depth + 1)
            above.children.append(node)
            if change.path not in self._nodes or (change.is_directory and change.kind != "deleted"):
                self._nodes[change.path] = node
        node.change = change
        node.counts[change.kind] += 1
        node.size_before = change.size_before or 0
        node.size_after = change.size_after or 0

    def _folder(self, path: str) -> ChangeNode:
        found = self._nodes.get(path)
        if found is None:
            above = self._folder(path.rpartition("/")[0] or "/")
            found = ChangeNode(path.rpartition("/")[2], path, path, above, above.depth + 1)
            above.children.append(found)
            self._nodes[path] = found
        return found

    def _finish(self, top: ChangeNode) -> None:
        """Sort names and add up totals, from the bottom up."""
        pending = [top]
        order = []
        while pending:
            node = pending.pop()
            order.append(node)
            pending.extend(node.children)
        for node in reversed(order):
            node.children.sort(key=lambda one: (not one.is_folder, one.name.casefold()))
            above = node.parent
            if above is not None:
                above.counts.update(node.counts)
                above.size_before += node.size_before
                above.size_after += node.size_after

    def rows(
        self, is_shut: Callable[[str], bool], wanted: Callable[[ChangeNode], bool] | None = None
    ) -> Iterator[ChangeNode]:
        """Yield what is visible, in order; the root only where it was changed itself.

        Args:
            is_shut: Says of a path whether its folder is closed: nothing below it is visible.
            wanted: Where given, only names that it accepts and the folders above them.
        """
        kept = None if wanted is None else self._kept(wanted)
        pending = list(reversed(self.root.children))
        if self.root.change is not None and (kept is None or id(self.root) in kept):
            yield self.root
        while pending:
            node = pending.pop()
            if kept is not None and id(node) not in kept:
                continue
            yield node
            if node.children and not is_shut(node.path):
                pending.extend(reversed(node.children))

    def _kept(self, wanted: Callable[[ChangeNode], bool]) -> set[int]:
        kept: set[int] = set()
        pending = [self.root]
        while pending:
            node = pending.pop()
            pending.extend(node.children)
            if node.change is not None and wanted(node):
                above: ChangeNode | None = node
                while above is not None and id(above) not in kept:
                    kept.add(id(above))
                    above = above.parent
        return kept
