"""The tree of changes: totals, order, and that taking changes in and out equals making it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from wimtui.service.change_tree import KINDS, ChangeNode, ChangeTree
from wimtui.service.changes import StagedChange

if TYPE_CHECKING:
    from collections.abc import Iterable


def change(
    kind: str,
    path: str,
    before: int | None = None,
    after: int | None = None,
    *,
    folder: bool = False,
    old: str | None = None,
) -> StagedChange:
    return StagedChange(kind, path, old, (), before, after, folder)


def shown(tree: ChangeTree) -> list[tuple[object, ...]]:
    return [_facts(node) for node in [tree.root, *tree.rows(lambda _: False)]]


def _facts(node: ChangeNode) -> tuple[object, ...]:
    above = None if node.parent is None else node.parent.path
    sizes = node.size_before, node.size_after
    return (node.path, node.name, node.depth, node.change, node.counts, sizes, above)


def test_folders_have_the_totals_of_what_is_below() -> None:
    tree = ChangeTree(
        [
            change("modified", "/a/b/two", 10, 30),
            change("added", "/a/one", None, 5),
            change("deleted", "/a/b/three", 7, None),
            change("added", "/a", folder=True),
            change("renamed", "/zero", 4, 4, old="/a/old"),
        ]
    )
    names = [(node.path, node.counts, node.growth) for node in tree.rows(lambda _: False)]
    assert names == [
        ("/a", (2, 1, 1, 0), 18),
        ("/a/b", (0, 1, 1, 0), 13),
        ("/a/b/three", (0, 0, 1, 0), -7),
        ("/a/b/two", (0, 1, 0, 0), 20),
        ("/a/one", (1, 0, 0, 0), 5),
        ("/zero", (0, 0, 0, 1), 0),
    ]
    assert (tree.root.counts, tree.root.count) == ((2, 1, 1, 1), 5)
    assert [node.path for node in tree.rows(lambda path: path == "/a/b")] == [
        "/a", "/a/b", "/a/one", "/zero",
    ]  # fmt: skip
    wanted = [node.path for node in tree.rows(lambda _: False, lambda node: "two" in node.path)]
    assert wanted == ["/a", "/a/b", "/a/b/two"]


def test_the_root_is_a_row_only_where_it_changed() -> None:
    tree = ChangeTree([change("modified", "/", folder=True), change("added", "/x", None, 1)])
    assert [node.path for node in tree.rows(lambda _: False)] == ["/", "/x"]


def test_a_file_in_place_of_a_folder_is_another_row() -> None:
    tree = ChangeTree(
        [
            change("deleted", "/place", folder=True),
            change("added", "/place", None, 3),
            change("added", "/place2", None, 4),
        ]
    )
    rows = list(tree.rows(lambda _: False))
    assert [(node.path, node.change and node.change.kind) for node in rows] == [
        ("/place", "deleted"), ("/place", "added"), ("/place2", "added"),
    ]  # fmt: skip
    assert len({node.key for node in rows}) == 3


_names = st.sampled_from(["a", "B", "c"])
_paths = st.lists(_names, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


@st.composite
def change_sets(draw: st.DrawFn) -> list[StagedChange]:
    paths = draw(st.sets(_paths, max_size=8))
    made = []
    for path in sorted(paths):
        # What has names below it is a folder, as in any file system.
        folder = any(other.startswith(path + "/") for other in paths) or draw(st.booleans())
        size = None if folder else draw(st.integers(0, 9))
        kind = draw(st.sampled_from(KINDS[:3]))
        before = None if kind == "added" else size
        after = None if kind == "deleted" else size
        made.append(change(kind, path, before, after, folder=folder))
    return made


def _without(these: Iterable[StagedChange], those: list[StagedChange]) -> list[StagedChange]:
    return [one for one in these if one not in those]


@settings(max_examples=150, deadline=None)
@given(change_sets(), change_sets(), change_sets())
def test_applied_differences_make_the_same_tree(
    first: list[StagedChange], second: list[StagedChange], third: list[StagedChange]
) -> None:
    tree = ChangeTree(first)
    before = first
    for after in (second, third, []):
        tree.apply(_without(before, after), _without(after, before))
        assert shown(tree) == shown(ChangeTree(after))
        before = after
