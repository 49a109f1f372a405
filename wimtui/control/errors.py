"""What the control plane raises: one tree, each error saying what, where and what to do.

``code`` is the number a process exits with. Numbers up to 91 are those wimlib-imagex uses for the
same cause (38 message queue, 79 busy, 80 no mount point, 81 not permitted, 6 FUSE); 100 and above
are our own (docs/EXIT_CODES.md lists all).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike


class ControlError(Exception):
    """Root of everything the control plane raises on purpose.

    Attributes:
        message: What is wrong.
        path: The file, folder or queue concerned, if one is.
        hint: What the user can do about it.
    """

    code: int = 100
    """Exit code. A class constant everywhere but in RemoteError, which carries the daemon's."""

    def __init__(
        self,
        message: str,
        *,
        path: str | PathLike[str] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)
        self.hint = hint

    def __str__(self) -> str:
        text = self.message if self.path is None else f"{self.path}: {self.message}"
        return text if self.hint is None else f"{text}; {self.hint}"


class DaemonGoneError(ControlError):
    """The daemon of a mount does not run, or stopped while it was asked something."""

    code = 101


class ControlTimeoutError(ControlError):
    """A daemon lives and did not do in time what was expected of it."""

    code = 102


class DaemonStartError(ControlError):
    """A daemon could not be started, or ended before it was ready."""

    code = 103


class RegistryError(ControlError):
    """The registry of mounts cannot be read or written."""

    code = 104


class RemoteError(ControlError):
    """The daemon answered a request, or its own start, with an error.

    Attributes:
        name: The daemon's short name of the cause, such as ``version`` or ``busy``; may be empty.
    """

    def __init__(self, code: int, text: str, *, hint: str = "", name: str = "") -> None:
        super().__init__(text, hint=hint or None)
        self.code = code
        self.name = name


class MessageError(ControlError):
    """Bytes that are no message of this protocol.

    Attributes:
        request_id: The id the message bore, 0 if it bore none: an answer goes there.
        reply_to: The queue the message wanted its answer in, empty if it named none.
    """

    code = 105

    def __init__(self, message: str, *, request_id: int = 0, reply_to: str = "") -> None:
        super().__init__(message)
        self.request_id = request_id
        self.reply_to = reply_to


class MalformedMessageError(MessageError):
    """Not a JSON object, or a field is missing or of the wrong type."""


class ProtocolVersionError(MessageError):
    """A major version or a message type that this version does not know."""

    code = 106


class MessageTooLargeError(MessageError):
    """A message that does not fit a queue even with its display strings shortened."""


class QueueError(ControlError):
    """A message queue cannot be made, opened or used."""

    code = 38


class QueueMissingError(QueueError):
    """No queue has that name."""


class QueueExistsError(QueueError):
    """The name of a queue to be made is taken."""


class QueuePermissionError(QueueError):
    """The queue belongs to another user."""

    code = 81


class QueueLimitError(QueueError):
    """The kernel allows this user no further queue."""


class FuseError(ControlError):
    """fusermount3 is missing or fails for a cause of its own."""

    code = 6


class MountBusyError(ControlError):
    """Files of the mount are in use."""

    code = 79


class NotAMountError(ControlError):
    """No WIM image is mounted there, or something else has taken its place."""

    code = 80


class NotPermittedError(ControlError):
    """The mount belongs to another user."""

    code = 81


def os_error_text(error: OSError) -> str:
    """What the system says, as the errors here say it: where, then what."""
    if not error.strerror:
        return str(error)
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return where + error.strerror
