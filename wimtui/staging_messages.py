"""What screens wish and hear of staged changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from wimtui.service.change_tree import ChangeTree
    from wimtui.service.changes import ChangeList, StagedChange
    from wimtui.service.comparisons import PathDiff
    from wimtui.service.mounts import MountSummary


@dataclass
class ShowStaging(Message):
    """A screen wants the changes of a mount shown."""

    mount: MountSummary


@dataclass
class ChangesListed(Message):
    """What is staged, after something may have changed."""

    target: str
    listed: ChangeList
    before: ChangeList | None
    """What ``removed`` and ``added`` are to be applied to."""
    tree: ChangeTree | None
    """All that is staged; None where ``removed`` and ``added`` say it."""
    removed: list[StagedChange]
    added: list[StagedChange]


@dataclass
class ChangesUnreadable(Message):
    """What is staged cannot be told."""

    target: str
    cause: str
    hint: str
    is_over: bool = False
    """Because nothing is mounted or staged there any more."""


@dataclass
class PathCompared(Message):
    """One path before and after, or why that cannot be told."""

    path: str
    revision: str
    diff: PathDiff | None
    problem: str = ""


@dataclass
class PathRestored(Message):
    """What was staged at a path, and below it, is undone."""

    path: str
    count: int
    """Names and inodes concerned."""
