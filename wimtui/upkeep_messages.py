"""What screens wish and hear of mounts that change, of what needs a decision, and of WIM edits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from wimtui.service.holders import Holder
    from wimtui.service.mounts import MountSummary
    from wimtui.service.recovery import Recoverable
    from wimtui.service.space import ImageLoss, SpaceFacts
    from wimtui.service.write_access import WriteAccess


@dataclass
class ShowRecover(Message):
    """A screen, or the user, wants to see what needs a decision."""


@dataclass
class RecoverablesRead(Message):
    """What needs a decision."""

    found: tuple[Recoverable, ...]


@dataclass
class Remount(Message):
    """A screen wants a mount back that lost its daemon."""

    mount: MountSummary


@dataclass
class SwitchMount(Message):
    """A screen wants something else mounted at the same place; None leaves what is."""

    mount: MountSummary
    read_write: bool | None = None
    image_index: int | None = None


@dataclass
class ChooseImage(Message):
    """A screen wants to be asked which other image to mount at the same place."""

    mount: MountSummary


@dataclass
class SwitchRefused(Message):
    """A mount that was to be switched is in use, and goes on."""

    wish: SwitchMount
    cause: str
    holders: tuple[Holder, ...]


@dataclass
class MountReplaced(Message):
    """A mount is back, or another is in its place."""

    summary: MountSummary


@dataclass
class WimWritten(Message):
    """An edit of a WIM is over, whether or not it came about."""

    path: str


@dataclass
class SpaceRead(Message):
    """What of a WIM file is in use."""

    path: str
    space: SpaceFacts


@dataclass
class LossCounted(Message):
    """What goes with an image."""

    path: str
    loss: ImageLoss


@dataclass
class WriteAccessChecked(Message):
    """What speaks against a read-write mount."""

    staging_typed: str
    access: WriteAccess
