"""The messages between front ends and mount daemons, as frozen dataclasses.

wimtui.control.wire turns them into bytes and back; docs/PROTOCOL.md tells who sends what when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

PROTOCOL_VERSION = 1
"""The major version. Fields and types may be added within it; nothing changes its meaning."""

MAX_MESSAGE_NBYTES = 2048
"""Size of one slot of our queues."""

Scalar = int | float | str | bool | None
Data = Mapping[str, Scalar]


class DaemonState(StrEnum):
    """What a daemon says of itself."""

    STARTING = "starting"
    OK = "ok"
    COMMITTING = "committing"
    UNMOUNTING = "unmounting"
    DETACHED = "detached"
    ENDED = "ended"


class CommitMode(StrEnum):
    """How changes get into the WIM."""

    APPEND = "append"
    REBUILD = "rebuild"


class Disposition(StrEnum):
    """What an unmount does with uncommitted changes."""

    COMMIT = "commit"
    DISCARD = "discard"
    KEEP = "keep"
    """End the mount and leave the staging folder for a later one."""
    IF_CLEAN = "if_clean"
    """Unmount only if there are no changes; an error otherwise."""


class Outcome(StrEnum):
    """How a commit or an unmount ended."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


def _shown(keep: str) -> Any:
    """A string for the eye, which wire.encode() may shorten at the end that is not kept."""
    return field(default="", metadata={"keep": keep})


@dataclass(frozen=True, slots=True)
class Message:
    """Root of all messages."""

    TYPE: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Request(Message):
    """From a front end to a daemon; every one is answered by exactly one Reply."""


@dataclass(frozen=True, slots=True)
class Reply(Message):
    """The answer to one request.

    Attributes:
        bulk_path: A file in the daemon's bulk folder that the reader deletes once read; or empty.
        spilled: Whether that file holds this very reply in full, itself too large for a queue.
    """

    bulk_path: str = ""
    spilled: bool = False


@dataclass(frozen=True, slots=True)
class Event(Message):
    """From a daemon to those who subscribed, or who asked for the operation it tells about."""


@dataclass(frozen=True, slots=True)
class Hello(Request):
    """Who is there? Answered by OkReply with ``wimtui_version``, ``mount_id`` and ``pid``."""

    TYPE: ClassVar[str] = "hello"
    wimtui_version: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Status(Request):
    """Answered by StatusReply."""

    TYPE: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True)
class Subscribe(Request):
    """Send me events from here on."""

    TYPE: ClassVar[str] = "subscribe"
    progress: bool = True
    log_level: str = ""
    """Lowest level of LogEvents wanted, such as ``INFO``; empty for none."""


@dataclass(frozen=True, slots=True)
class Unsubscribe(Request):
    """No more events."""

    TYPE: ClassVar[str] = "unsubscribe"


@dataclass(frozen=True, slots=True)
class Commit(Request):
    """Write the changes and stay mounted. OkReply when begun, EndedEvent when over.

    ``options`` may have the keys of docs/PROTOCOL.md.
    """

    TYPE: ClassVar[str] = "commit"
    mode: CommitMode = CommitMode.APPEND
    new_image: bool = False
    image_name: str = ""
    image_description: str = ""
    check: bool = False
    """Write an integrity table."""
    options: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unmount(Request):
    """End the mount. OkReply when begun, EndedEvent when the mount point is free."""

    TYPE: ClassVar[str] = "unmount"
    disposition: Disposition = Disposition.IF_CLEAN
    lazy: bool = False
    """Detach from the mount point at once even while files are open."""
    mode: CommitMode = CommitMode.APPEND
    new_image: bool = False
    image_name: str = ""
    image_description: str = ""
    check: bool = False
    options: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cancel(Request):
    """Stop the running operation; its EndedEvent says whether that came in time."""

    TYPE: ClassVar[str] = "cancel"
    operation_id: int = 0
    """Id of the request that began it; 0 means whichever runs."""


@dataclass(frozen=True, slots=True)
class LogLevel(Request):
    """Change the level of the daemon's log file."""

    TYPE: ClassVar[str] = "log_level"
    level: str = "INFO"


@dataclass(frozen=True, slots=True)
class Extension(Request):
    """A request by name that this module does not know: the way for later ones.

    Answered by OkReply, with bulk data in its ``bulk_path``, or by an ErrorReply named ``version``
    if the daemon does not know the name either.
    """

    TYPE: ClassVar[str] = "extension"
    name: str = ""
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OkReply(Reply):
    """Done, or begun."""

    TYPE: ClassVar[str] = "reply.ok"
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatusReply(Reply):
    """What the daemon serves and how it stands."""

    TYPE: ClassVar[str] = "reply.status"
    state: DaemonState = DaemonState.STARTING
    mount_id: str = ""
    mode: str = "ro"
    image_index: int = 0
    image_name: str = _shown("head")
    wim_path: str = _shown("tail")
    mount_point: str = _shown("tail")
    staging_path: str = _shown("tail")
    changes: int = 0
    """Number of changed nodes; 0 means nothing to commit."""
    staged_nbytes: int = 0
    open_handles: int = 0
    operation: str = ""
    """``commit`` or ``unmount`` while one runs."""
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ErrorReply(Reply):
    """The request was not done."""

    TYPE: ClassVar[str] = "reply.error"
    code: int = 100
    text: str = _shown("head")
    hint: str = _shown("head")
    name: str = ""
    """Short name of the cause; ``version`` for what the daemon does not know."""


@dataclass(frozen=True, slots=True)
class StateEvent(Event):
    """The daemon's state, or the extent of the changes, is another."""

    TYPE: ClassVar[str] = "event.state"
    state: DaemonState = DaemonState.OK
    changes: int = 0
    staged_nbytes: int = 0
    detail: str = _shown("head")


@dataclass(frozen=True, slots=True)
class ProgressEvent(Event):
    """One moment of a long operation. Totals of 0 mean "not known yet"."""

    TYPE: ClassVar[str] = "event.progress"
    operation: str = ""
    phase: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    items_done: int = 0
    items_total: int = 0
    path: str = _shown("tail")
    elapsed_ms: int = 0
    """Since the phase began."""
    bytes_per_s: int = 0
    """Of this phase so far; 0 before there is anything to tell."""


@dataclass(frozen=True, slots=True)
class LogEvent(Event):
    """One record of the daemon's log."""

    TYPE: ClassVar[str] = "event.log"
    level: str = "INFO"
    logger: str = ""
    text: str = _shown("head")


@dataclass(frozen=True, slots=True)
class EndedEvent(Event):
    """An operation is over; the last event about it, and never dropped."""

    TYPE: ClassVar[str] = "event.ended"
    operation: str = ""
    outcome: Outcome = Outcome.DONE
    code: int = 0
    text: str = _shown("head")
    hint: str = _shown("head")
    data: Data = field(default_factory=dict)


MESSAGE_TYPES: Mapping[str, type[Message]] = {
    kind.TYPE: kind
    for kind in (
        *(Hello, Status, Subscribe, Unsubscribe, Commit, Unmount, Cancel, LogLevel, Extension),
        *(OkReply, StatusReply, ErrorReply),
        *(StateEvent, ProgressEvent, LogEvent, EndedEvent),
    )
}
