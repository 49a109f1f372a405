"""The kernel's table of mounts, /proc/self/mountinfo (proc_pid_mountinfo(5)).

Nothing here touches a mount itself: asking a hung file system anything would hang.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FS_TYPE = "fuse.wimtui"
"""The type our mounts have there, from the mount option ``subtype=wimtui``."""

_OCTAL_ESCAPE = re.compile(r"\\([0-3][0-7]{2})")


@dataclass(frozen=True, slots=True)
class MountInfo:
    """One line of the table.

    Attributes:
        kernel_mount_id: Unique while the mount lasts, in this mount namespace.
        parent_id: The mount it is mounted on.
        device: ``major:minor``, the file system's identity; a bind mount shares it.
        root: The folder of the file system that is visible at the mount point.
        mount_point: Absolute path; bytes that are no UTF-8 as surrogate escapes.
        options: Options of this mount.
        fs_type: Such as ``ext4`` or ``fuse.wimtui``.
        source: What the file system calls its source.
        super_options: Options of the file system.
    """

    kernel_mount_id: int
    parent_id: int
    device: str
    root: str
    mount_point: str
    options: tuple[str, ...]
    fs_type: str
    source: str
    super_options: tuple[str, ...]

    @property
    def is_wimtui(self) -> bool:
        """Whether wimtui made it."""
        return self.fs_type == FS_TYPE

    @property
    def user_id(self) -> int | None:
        """The user who mounted a FUSE file system; None for others."""
        for option in self.super_options:
            name, _, value = option.partition("=")
            if name == "user_id" and value.isdecimal():
                return int(value)
        return None


class MountTable:
    """All mounts of one moment."""

    __slots__ = ("_by_mount_point", "mounts")

    def __init__(self, mounts: Iterable[MountInfo]) -> None:
        self.mounts = tuple(mounts)
        # A mount on top of another at the same place is its descendant, and those come later.
        self._by_mount_point = {mount.mount_point: mount for mount in self.mounts}

    @classmethod
    def parse(cls, text: str) -> MountTable:
        """The table in ``text``; lines that are no mount are left out."""
        return cls(mount for line in text.split("\n") if (mount := _parse_line(line)))

    @classmethod
    def read(cls, pid: int | None = None) -> MountTable:
        """The table as ``pid`` sees it, by default this process."""
        path = Path("/proc") / ("self" if pid is None else str(pid)) / "mountinfo"
        return cls.parse(path.read_bytes().decode("utf-8", "surrogateescape"))

    def at(self, mount_point: str) -> MountInfo | None:
        """The mount that is visible at ``mount_point``, an absolute path without links."""
        return self._by_mount_point.get(mount_point)

    def of_device(self, device: str) -> tuple[MountInfo, ...]:
        """Every place where a file system is mounted."""
        return tuple(mount for mount in self.mounts if mount.device == device)


def unescape(field: str) -> str:
    r"""``field`` without the table's escapes: ``\040`` stands for a space, and so on."""
    # An escape is one byte; only ASCII is ever escaped, so that byte is a character.
    return _OCTAL_ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


def _parse_line(line: str) -> MountInfo | None:
    # "36 35 98:0 /root /point rw,noatime shared:1 - ext3 /dev/sda1 rw,errors=continue"
    # Any number of tags stand before the dash.
    left, dash, right = line.partition(" - ")
    fields, tail = left.split(" "), right.split(" ")
    if not dash or len(fields) < 6 or len(tail) < 2:
        return None
    if not (fields[0].isdecimal() and fields[1].isdecimal()):
        return None
    return MountInfo(
        kernel_mount_id=int(fields[0]),
        parent_id=int(fields[1]),
        device=fields[2],
        root=unescape(fields[3]),
        mount_point=unescape(fields[4]),
        options=tuple(fields[5].split(",")),
        fs_type=unescape(tail[0]),
        source=unescape(tail[1]),
        super_options=tuple(tail[2].split(",")) if len(tail) > 2 else (),
    )
