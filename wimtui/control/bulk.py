"""What is too large for a queue, as files of mode 0600 whose paths the replies name.

The daemon writes a file and the front end that asked deletes it when it has read it; what nobody
fetched goes with the daemon's bulk folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import stat
from pathlib import Path

from wimtui import paths
from wimtui.control.errors import ControlError, MessageTooLargeError
from wimtui.control.protocol import MAX_MESSAGE_NBYTES, OkReply, Reply, StatusReply
from wimtui.control.wire import Envelope, encode_whole

_MAX_BULK_NBYTES = 1 << 30


class BulkFolder:
    """A daemon's folder of files for front ends."""

    __slots__ = ("_folder",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, payload: bytes) -> str:
        """Write a file and return its path, for ``Reply.bulk_path``.

        Raises:
            ControlError: The file cannot be written.
        """
        path = self._folder / secrets.token_hex(8)
        try:
            paths.private_folder(self._folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(payload)
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise ControlError(f"the reply cannot be written: {error}", path=path) from error
        return str(path)

    def fit(self, reply: Reply) -> Reply:
        """``reply`` itself if it fits a queue, else one that names a file with all of it.

        The display strings of the latter are shortened when it is encoded, its ``data`` is empty.
        An ErrorReply is always itself.
        """
        whole = encode_whole(Envelope(reply, request_id=2**63))
        if len(whole) <= MAX_MESSAGE_NBYTES or not isinstance(reply, OkReply | StatusReply):
            return reply
        if reply.bulk_path:
            raise MessageTooLargeError(f"a reply of {len(whole)} bytes beside its bulk file")
        return dataclasses.replace(reply, bulk_path=self.store(whole), spilled=True, data={})

    def close(self) -> None:
        """Delete the folder with all that nobody fetched."""
        shutil.rmtree(self._folder, ignore_errors=True)


def take_bulk(path: str, folder: Path, owner_uid: int) -> bytes:
    """Read and delete a file that a daemon's reply named.

    Root does this for other users' daemons, so nothing but a file of that user, in the folder of
    that daemon, is read or deleted, whatever the reply says.

    Args:
        path: ``Reply.bulk_path``.
        folder: The daemon's bulk folder.
        owner_uid: The user whose daemon it is.

    Raises:
        ControlError: The file is not there, or is not what it should be.
    """
    if Path(path).parent != folder:
        raise ControlError("the daemon names a file outside its folder", path=path)
    name = Path(path).name
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(opened).st_uid != owner_uid:
                raise ControlError("the folder is another user's", path=folder)
            payload = _read_owned(name, opened, owner_uid)
            os.unlink(name, dir_fd=opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise ControlError(f"the daemon's reply cannot be read: {error}", path=path) from error
    return payload


def _read_owned(name: str, folder: int, owner_uid: int) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner_uid or found.st_nlink != 1:
            raise ControlError("the daemon names a file that is not its own", path=name)
        if found.st_size > _MAX_BULK_NBYTES:
            raise ControlError(f"the daemon's reply has {found.st_size} bytes", path=name)
        return file.read()
