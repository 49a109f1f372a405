"""A file written beside another and then renamed over it, with its owner, mode and attributes."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import string
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.engine.commit.disk import reported
from wimtui.engine.commit.lock import lock_descriptor
from wimtui.engine.errors import LockedError, WriteFailedError

if TYPE_CHECKING:
    from wimtui.engine.commit.disk import Disk

_SUFFIX = ".wimtui-tmp"
_RANDOM_CHARACTERS = 9
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class TemporaryFile:
    """A new file in the folder of the one that it will become.

    It is locked while it exists, which tells it from one whose writer was killed.

    Attributes:
        fd: Open for reading and writing.
        path: Where it is at present.
        target: What it will be named.
    """

    def __init__(self, target: str, disk: Disk, original: str | None) -> None:
        """Make the file, with owner, mode and attributes of ``original`` if that is given.

        Raises:
            WriteFailedError: It cannot be made.
        """
        characters = string.ascii_letters + string.digits
        middle = "".join(secrets.choice(characters) for _ in range(_RANDOM_CHARACTERS))
        self.target = target
        self.path = f"{target}.{middle}{_SUFFIX}"
        self._disk = disk
        self._exists = False
        # Nobody may read what a private WIM becomes.
        mode = 0o666 if original is None else 0o600
        with reported(target, "make a file beside it"):
            self.fd = disk.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        self._exists = True
        try:
            lock_descriptor(self.fd, self.path)
            if original is not None:
                self._take_over(original)
        except BaseException:
            self.discard()
            raise

    def _take_over(self, original: str) -> None:
        """Give it owner, mode and extended attributes, ACLs among them, of another file.

        What the system does not let us set is left out.
        """
        status = os.stat(original)  # noqa: PTH116  # beside the calls by descriptor
        with contextlib.suppress(OSError):
            os.fchown(self.fd, status.st_uid, status.st_gid)
        with contextlib.suppress(OSError):
            for name in os.listxattr(original):
                with contextlib.suppress(OSError):
                    os.setxattr(self.fd, name, os.getxattr(original, name))
        with contextlib.suppress(OSError):
            os.fchmod(self.fd, status.st_mode & 0o7777)

    def replace(self) -> tuple[str, ...]:
        """Rename it over the target, durably; return warnings.

        Raises:
            WriteFailedError: The rename failed, and the target is as before.
        """
        with reported(self.target, "rename the new file over it"):
            self._disk.rename(self.path, self.target)
        self._exists = False
        self.path = self.target
        return self._sync_folder()

    def publish(self) -> tuple[str, ...]:
        """Give it the target's name, which nothing must have; return warnings.

        Raises:
            WriteFailedError: The target exists, or the name cannot be given.
        """
        try:
            with reported(self.target, "make the file"):
                self._disk.link(self.path, self.target)
        except WriteFailedError as error:
            if isinstance(error.__cause__, FileExistsError):
                raise WriteFailedError(
                    "the file exists", path=self.target, hint="choose another name, or remove it"
                ) from error
            if getattr(error.__cause__, "errno", 0) not in _NO_HARD_LINKS:
                raise
            # A rename, checked as well as it can be.
            if os.path.lexists(self.target):
                raise
            return self.replace()
        self._exists = False
        warnings: tuple[str, ...] = ()
        try:
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(self.path)
        except OSError as error:
            warnings = (f"{self.path} is another name of it; remove it ({error.strerror})",)
        self.path = self.target
        return (*warnings, *self._sync_folder())

    def discard(self) -> None:
        """Close it, and remove it unless it has the target's name by now."""
        if self._exists:
            self._exists = False
            with contextlib.suppress(OSError):
                self._disk.unlink(self.path)
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _sync_folder(self) -> tuple[str, ...]:
        try:
            self._disk.fsync_directory(str(Path(self.target).parent))
        except OSError as error:
            return (
                f"the new file is in place, but a power cut soon could undo that: its folder "
                f"cannot be synced ({error.strerror})",
            )
        return ()


def remove_abandoned(target: str, disk: Disk) -> None:
    """Remove what killed writers of a file left beside it: what no process has locked."""
    folder, name = os.path.split(target)
    try:
        entries = os.listdir(folder)  # noqa: PTH208  # names only
    except OSError:
        return
    for entry in entries:
        middle = entry[len(name) + 1 : -len(_SUFFIX)]
        if entry != f"{name}.{middle}{_SUFFIX}" or len(middle) != _RANDOM_CHARACTERS:
            continue
        path = f"{folder}/{entry}"
        with contextlib.suppress(OSError, LockedError):
            if os.path.samefile(path, target):  # noqa: PTH121  # as the rest
                # Only its name was still to be removed; the lock on it is the target's.
                disk.unlink(path)
                continue
        with contextlib.suppress(OSError, LockedError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if lock_descriptor(fd, path):
                    disk.unlink(path)
            finally:
                os.close(fd)
