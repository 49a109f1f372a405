"""What the bridge tells screens: one message for each answer of a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from wimtui.jobs import Job
    from wimtui.service.archives import ArchiveFacts, SplitSet
    from wimtui.service.browse import EntryFacts, ImageEntry, ImageSession, Preview, SearchResult
    from wimtui.service.changes import MountReport
    from wimtui.service.commits import CommitEstimate, CommitSettings
    from wimtui.service.holders import Holder
    from wimtui.service.log_files import LogFile
    from wimtui.service.mount_points import MountPlace
    from wimtui.service.mounts import MountActivity, MountSummary
    from wimtui.service.recents import RecentWim


@dataclass
class OperationFailed(Message):
    """A service refused, or broke."""

    doing: str
    """What was tried, such as ``open a.wim``."""
    cause: str
    hint: str
    code: int
    """The exit code that the command line has for the cause."""
    subject: str = ""
    """What it was tried on: a path or a mount id."""


@dataclass
class MountsListed(Message):
    """All mounts of this machine."""

    mounts: tuple[MountSummary, ...]

    def can_replace(self, message: Message) -> bool:
        """Only the latest list counts."""
        return isinstance(message, MountsListed)


@dataclass
class ActivityRead(Message):
    """What a daemon says of itself, or that it does not answer."""

    mount_id: str
    activity: MountActivity | None
    at: float
    """When, in seconds since 1970."""


@dataclass
class RecentsRead(Message):
    """The WIMs opened lately."""

    wims: tuple[RecentWim, ...]


@dataclass
class ArchiveOpened(Message):
    """A WIM's facts."""

    path: str
    facts: ArchiveFacts
    parts: SplitSet
    """What its images are opened with."""


@dataclass
class ImageOpened(Message):
    """An image is open for browsing; the receiver has to give the session back."""

    session: ImageSession
    root: ImageEntry
    children: list[ImageEntry]


@dataclass
class ChildrenRead(Message):
    """The names in a directory, and those of directories on the way to a name looked for."""

    dentry: int
    children: list[ImageEntry]


@dataclass
class PathRead(Message):
    """All directories on the way to a name, with their entries."""

    target: int
    levels: list[tuple[int, list[ImageEntry]]]


@dataclass
class EntryRead(Message):
    """Everything about one name."""

    facts: EntryFacts


@dataclass
class PreviewRead(Message):
    """The beginning of a file, or why there is none."""

    dentry: int
    preview: Preview | None
    problem: str = ""


@dataclass
class SearchDone(Message):
    """Names found."""

    result: SearchResult
    seconds: float


@dataclass
class PlaceChecked(Message):
    """What a mount point is like."""

    typed: str
    place: MountPlace


@dataclass
class PlaceSuggested(Message):
    """A mount point to offer."""

    wim_path: str
    image_index: int
    path: str


@dataclass
class MountProgress(Message):
    """A daemon is starting."""

    mount_id: str
    phase: str
    done: int
    total: int

    def can_replace(self, message: Message) -> bool:
        """Only the latest counts."""
        return isinstance(message, MountProgress) and message.mount_id == self.mount_id


@dataclass
class Mounted(Message):
    """A file system answers."""

    summary: MountSummary


@dataclass
class Unmounted(Message):
    """A mount is gone."""

    summary: MountSummary
    note: str = ""
    """What became of its changes."""


@dataclass
class UnmountRefused(Message):
    """A mount is in use."""

    target: str
    cause: str
    holders: tuple[Holder, ...]


@dataclass
class ChangesStaged(Message):
    """A mount was not ended: it has changes, and somebody has to say what becomes of them."""

    mount: MountSummary


@dataclass
class StagedRead(Message):
    """What is staged of a mount."""

    target: str
    """The mount id, or the staging folder where nothing is mounted."""
    report: MountReport
    seconds: float
    """How long it took."""


@dataclass
class EstimateRead(Message):
    """How much a commit would write."""

    settings: CommitSettings
    estimate: CommitEstimate | None
    problem: str = ""
    """Why there is none."""


@dataclass
class HoldersFound(Message):
    """Who uses a mount at this moment."""

    mount_point: str
    holders: tuple[Holder, ...]


@dataclass
class LogsListed(Message):
    """The log files there are."""

    files: tuple[LogFile, ...]


@dataclass
class LogRead(Message):
    """The end of a log file."""

    path: str
    lines: tuple[str, ...]


@dataclass
class JobStarted(Message):
    """A long operation has begun."""

    job: Job


@dataclass
class JobEnded(Message):
    """A long operation is over; its job says how."""

    job: Job


@dataclass
class AskedToEnd(Message):
    """The system, or somebody, asks the app to end."""


@dataclass
class ShowArchive(Message):
    """A screen wants a WIM shown."""

    path: str


@dataclass
class ShowImage(Message):
    """A screen wants an image browsed."""

    path: str
    image_index: int
    references: tuple[str, ...] = ()


@dataclass
class MountImage(Message):
    """A screen wants the mount dialog."""

    path: str
    image_index: int = 0
    """0 for the first that is not mounted."""
    references: tuple[str, ...] = ()


@dataclass
class EndMount(Message):
    """A screen wants a mount to end."""

    mount: MountSummary
    discards: bool = False
    """Whether what is staged is to be dropped, which is asked about in any case."""


@dataclass
class CommitMount(Message):
    """A screen wants what is staged of a mount, or was left by one, committed."""

    mount: MountSummary


@dataclass
class OpenShell(Message):
    """A screen wants a shell in a folder."""

    folder: str


@dataclass
class OpenFile(Message):
    """A screen wants a file in the user's pager or editor."""

    path: str
    editor: bool = False
    is_temporary: bool = False
    """Made by ``temporary_copy``: to be removed once the program has ended."""


@dataclass
class CopyText(Message):
    """A screen wants something on the clipboard."""

    text: str
    what: str


@dataclass
class ShowJobs(Message):
    """A screen wants the jobs shown."""
