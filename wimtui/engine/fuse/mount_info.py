"""The kernel's own list of mounts, /proc/self/mountinfo."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_MOUNT_INFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the list."""

    device: str
    """Device number as ``major:minor``."""
    mount_point: str
    options: str
    fs_type: str
    """Such as ``fuse.wim``."""
    source: str


def parse_mount_info(text: str) -> list[Mount]:
    """Read the lines of proc_pid_mountinfo(5), oldest mount first."""
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        fs_type, source, *_ = after.split(" ")
        mounts.append(
            Mount(fields[2], _plain(fields[4]), fields[5], _plain(fs_type), _plain(source))
        )
    return mounts


def find_mount(mount_point: Path) -> Mount | None:
    """Return what is mounted there, the topmost if several are, without touching it.

    stat(2) would do as well, and would hang if the process that asks is the one to answer.
    """
    wanted = os.path.abspath(mount_point)  # noqa: PTH100 - resolve() would look into the mount
    text = _MOUNT_INFO.read_bytes().decode("utf-8", "surrogateescape")
    found = [mount for mount in parse_mount_info(text) if mount.mount_point == wanted]
    return found[-1] if found else None


def _plain(field: str) -> str:
    """Undo the octal escapes for space, tab, newline and backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
