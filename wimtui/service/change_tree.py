"""Staged changes as a tree of folders, with the totals of what is below each."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from wimtui.service.changes import StagedChange

KINDS: Final = ("added", "modified", "deleted", "renamed")

_NO_CHILDREN: Final[Sequence[ChangeNode]] = ()
_NO_COUNTS: Final = (0, 0, 0, 0)
_ONE: Final = {
    kind: tuple(int(kind == other) for other in KINDS) for kind in KINDS
}  # fmt: skip


@dataclass(slots=True, eq=False)
class ChangeNode:
    """One name in the tree: a change, a folder above changes, or both.

    Leaves hold no container of their own: with 10,000 of them the collector would be felt.
    """

    name: str
    path: str
    key: str
    """What the node is known by, also in another tree of the same mount."""
    parent: ChangeNode | None
    depth: int
    change: StagedChange | None = None
    children: Sequence[ChangeNode] = _NO_CHILDREN
    counts: tuple[int, ...] = _NO_COUNTS
    """Changes of each of KINDS, of the name itself and of all below it."""
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
        return sum(self.counts)

    def count_of(self, kind: str) -> int:
        """Number of changes of one of KINDS."""
        return self.counts[KINDS.index(kind)]

    @property
    def growth(self) -> int:
        """Bytes that files have become longer by, together."""
        return self.size_after - self.size_before

    def __lt__(self, other: ChangeNode) -> bool:
        return _order(self) < _order(other)


def _order(node: ChangeNode) -> tuple[bool, str, str]:
    return not node.is_folder, node.name.casefold(), node.key


class ChangeTree:
    """All changes of one mount. For one thread at a time.

    Attributes:
        root: The root folder, whose totals are those of everything.
    """

    def __init__(self, changes: Iterable[StagedChange]) -> None:
        """Make the tree; changes may come in any order."""
        self.root = ChangeNode("/", "/", "/", None, 0)
        self._nodes: dict[str, ChangeNode] = {"/": self.root}
        """By key."""
        for change in sorted(changes, key=_from_the_top):
            self._add(change, is_sorted=False)
        for node in self._nodes.values():
            if isinstance(node.children, list):
                node.children.sort(key=_order)

    def apply(self, removed: Iterable[StagedChange], added: Iterable[StagedChange]) -> None:
        """Take changes out and others in; what a change was before counts as removed.

        Takes time by the number of these, not of all.
        """
        for change in sorted(removed, key=_from_the_top, reverse=True):
            self._remove(change)
        for change in sorted(added, key=_from_the_top):
            self._add(change, is_sorted=True)

    def _add(self, change: StagedChange, *, is_sorted: bool) -> None:
        node = self._nodes.get(change.path)
        if node is None or node.change is not None:
            # A folder that is gone and a file in its place have one path.
            key = change.path if node is None else f"{change.path}\0{change.kind}"
            node = self._new_node(change.path, key, change, is_sorted=is_sorted)
        node.change = change
        self._count(node, change, 1)

    def _new_node(
        self, path: str, key: str, change: StagedChange | None, *, is_sorted: bool
    ) -> ChangeNode:
        folder, _, name = path.rpartition("/")
        above = self._nodes.get(folder or "/")
        if above is None:
            above = self._new_node(folder, folder, None, is_sorted=is_sorted)
        node = ChangeNode(name, path, key, above, above.depth + 1, change)
        if not isinstance(above.children, list):
            above.children = []
        if is_sorted:
            above.children.insert(bisect_left(above.children, node), node)
        else:
            above.children.append(node)
        self._nodes[key] = node
        return node

    def _remove(self, change: StagedChange) -> None:
        for key in (change.path, f"{change.path}\0{change.kind}"):
            node = self._nodes.get(key)
            if node is not None and node.change == change:
                self._count(node, change, -1)
                node.change = None
                self._prune(node)
                return

    def _prune(self, node: ChangeNode) -> None:
        """Take a node without a change out, and the folders above that are empty then."""
        while node.parent is not None and node.change is None and not node.children:
            above = node.parent
            above.children = [one for one in above.children if one is not node]
            del self._nodes[node.key]
            node = above

    def _count(self, node: ChangeNode, change: StagedChange, sign: int) -> None:
        one = _ONE[change.kind]
        before, after = sign * (change.size_before or 0), sign * (change.size_after or 0)
        above: ChangeNode | None = node
        while above is not None:
            above.counts = tuple(
                number + sign * more for number, more in zip(above.counts, one, strict=True)
            )
            above.size_before += before
            above.size_after += after
            above = above.parent

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
        for node in self._nodes.values():
            if node.change is not None and wanted(node):
                above: ChangeNode | None = node
                while above is not None and id(above) not in kept:
                    kept.add(id(above))
                    above = above.parent
        return kept


def _from_the_top(change: StagedChange) -> tuple[int, bool, bool]:
    """Order folders before what is in them, and what is there before what is gone."""
    return change.path.count("/"), not change.is_directory, change.kind == "deleted"
