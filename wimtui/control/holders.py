"""Who keeps a mount busy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.control.users import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELL_VARIABLE = "WIMTUI_MOUNT"
"""Environment variable of the shells that the app starts, naming the mount."""

_FOLDER_LINKS = (("cwd", "its folder"), ("root", "its root"), ("exe", "its program"))
_MODES = {os.O_RDONLY: "reading", os.O_WRONLY: "writing", os.O_RDWR: "reading and writing"}


@dataclass(frozen=True, slots=True)
class Use:
    """One thing of a mount that a process holds."""

    what: str
    """In words."""
    path: str


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that uses something below a mount point.

    Attributes:
        pid: The process.
        command: Its name.
        use: The first thing that it holds, in words.
        path: Where that is.
        user: Whose process it is.
        uses: Everything that it holds.
        is_shell: Whether the app started it as a shell in the mount.
    """

    pid: int
    command: str
    use: str
    path: str
    user: str = ""
    uses: tuple[Use, ...] = ()
    is_shell: bool = False


def find_holders(mount_point: str) -> tuple[Holder, ...]:
    """Processes with a folder, program, open file or mapping below a mount point.

    Links in /proc are read and never followed, so a mount that hangs does no harm. The processes of
    other users show to root alone.
    """
    found = (_find_holder(child, mount_point) for child in Path("/proc").iterdir())
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.pid))


def _find_holder(process: Path, mount_point: str) -> Holder | None:
    if not process.name.isdecimal():
        return None
    try:
        uses = tuple(dict.fromkeys(_uses(process, mount_point)))
        command = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        uid = process.stat().st_uid
    except OSError:
        return None
    if not uses:
        return None
    is_shell = _is_our_shell(process, mount_point)
    first = uses[0]
    what = f"{first.what} (a shell started by wimtui)" if is_shell else first.what
    return Holder(int(process.name), command, what, first.path, user_name(uid), uses, is_shell)


def _uses(process: Path, mount_point: str) -> Iterator[Use]:
    for name, what in _FOLDER_LINKS:
        path = _link(process / name)
        if _is_below(path, mount_point):
            yield Use(what, path)
    for descriptor in (process / "fd").iterdir():
        path = _link(descriptor)
        if _is_below(path, mount_point):
            yield Use(f"a file open for {_mode(process, descriptor.name)}", path)
    # The sixth column of maps is a path.
    for line in (process / "maps").read_bytes().decode("utf-8", "surrogateescape").split("\n"):
        columns = line.split(maxsplit=5)
        if len(columns) > 5 and _is_below(columns[5], mount_point):
            yield Use("a mapped file", columns[5])


def _mode(process: Path, descriptor: str) -> str:
    try:
        text = (process / "fdinfo" / descriptor).read_text(encoding="ascii", errors="replace")
    except OSError:
        return "reading"
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return _MODES.get(int(value, 8) & os.O_ACCMODE, "reading")
    return "reading"


def _is_our_shell(process: Path, mount_point: str) -> bool:
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(f"{SHELL_VARIABLE}={mount_point}") in variables


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _is_below(path: str, mount_point: str) -> bool:
    return path == mount_point or path.startswith(mount_point.rstrip("/") + "/")
