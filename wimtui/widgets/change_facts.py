"""What a changed path was and is, apart from its bytes, as labels and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.widgets.cells import (
    NOTHING,
    Cell,
    attributes_text,
    exact_size_text,
    plain,
    size_text,
    ticks_text,
)
from wimtui.widgets.change_table import KIND_TONES, totals_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wimtui.service.change_tree import ChangeNode
    from wimtui.service.comparisons import PathDiff, SideFacts
    from wimtui.widgets.fact_list import Fact


def node_facts(node: ChangeNode) -> Iterator[Fact]:
    """What the list alone says of a change or a folder."""
    yield "Path", Cell(plain(node.path), "strong")
    change = node.change
    if change is not None:
        if change.old_path is not None:
            yield "Was", plain(change.old_path)
        kind = "folder " if change.is_directory else ""
        parts = f": {', '.join(change.what)}" if change.what else ""
        yield "Change", Cell(f"{kind}{change.kind}{parts}", KIND_TONES.get(change.kind, ""))
    if node.children:
        yield "Below", totals_text(node)
        yield "Sizes", f"{size_text(node.size_before)} → {size_text(node.size_after)}"


def diff_facts(node: ChangeNode, diff: PathDiff) -> Iterator[Fact]:
    """Everything known of a change; what differs stands out."""
    yield from node_facts(node)
    before, after = diff.before, diff.after
    if node.change is not None and node.change.kind == "added":
        before = None
    if not node.is_folder:
        yield from _row("Size", before, after, lambda side: exact_size_text(side.size))
    yield from _row("Attributes", before, after, _attributes)
    yield from _row("Modified", before, after, lambda side: ticks_text(side.write_time))
    yield from _row("Created", before, after, lambda side: ticks_text(side.creation_time))
    yield from _row("Accessed", before, after, lambda side: ticks_text(side.access_time))
    yield from _row("Short name", before, after, lambda side: plain(side.short_name))
    yield from _row("Hard links", before, after, _links)
    yield from _row("Link target", before, after, lambda side: plain(side.link_target))
    yield from _row("Reparse tag", before, after, _tag)
    yield from _row("UNIX", before, after, _unix)
    yield from _row("Object id", before, after, lambda side: side.object_id)
    yield from _streams(before, after)
    yield from _row("Security", before, after, lambda side: side.sddl)


def _row(
    label: str,
    before: SideFacts | None,
    after: SideFacts | None,
    text: Callable[[SideFacts], str],
) -> Iterator[Fact]:
    old, new = (None if side is None else text(side) for side in (before, after))
    if not old and not new:
        return
    if old is None or new is None or old == new:
        yield label, (old if new is None else new) or NOTHING
    else:
        yield label, Cell(old or NOTHING, "bad")
        yield "", Cell(f"→ {new or NOTHING}", "good")


def _attributes(side: SideFacts) -> str:
    return f"{attributes_text(side.attributes)}  {side.attributes:#x}"


def _links(side: SideFacts) -> str:
    return f"{side.link_count}" if side.link_count > 1 else ""


def _tag(side: SideFacts) -> str:
    return f"{side.reparse_tag:#010x}" if side.reparse_tag else ""


def _unix(side: SideFacts) -> str:
    if side.unix is None:
        return ""
    owner, group, mode = side.unix
    return f"owner {owner}, group {group}, mode {mode:o}"


def _streams(before: SideFacts | None, after: SideFacts | None) -> Iterator[Fact]:
    old, new = (dict(() if side is None else side.streams) for side in (before, after))
    for name in sorted(old.keys() | new.keys()):
        sizes = [exact_size_text(side[name]) for side in (old, new) if name in side]
        text = f"{plain(name)}: {' → '.join(dict.fromkeys(sizes))}"
        if before is None or after is None or (name in old and name in new):
            yield "Stream", text
        else:
            is_gone = name in old
            note = "removed" if is_gone else "added"
            yield "Stream", Cell(f"{text}, {note}", "bad" if is_gone else "good")
