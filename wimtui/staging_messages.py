"""What screens wish and hear of staged changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from wimtui.service.change_tree import ChangeTree
    from wimtui.service.changes import ChangeList
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
    tree: ChangeTree

    def can_replace(self, message: Message) -> bool:
        """Only the latest list counts."""
        return isinstance(message, ChangesListed) and message.target == self.target


@dataclass
class ChangesUnreadable(Message):
    """What is staged cannot be told."""

    target: str
    cause: str
    hint: str


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
