"""Who keeps a mount busy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FOLDER_LINKS = (("cwd", "its folder"), ("root", "its root"), ("exe", "its program"))


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that uses something below a mount point.

    Attributes:
        pid: The process.
        command: Its name.
        use: What it holds, in words.
        path: Where.
    """

    pid: int
    command: str
    use: str
    path: str


def find_holders(mount_point: str) -> tuple[Holder, ...]:
    """Processes with a folder, program, open file or mapping below a mount point.

    Links in /proc are read and never followed, so a mount that hangs does no harm. The processes of
    other users show to root alone.
    """
    found = (_find_use(child, mount_point) for child in Path("/proc").iterdir())
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.pid))


def _find_use(process: Path, mount_point: str) -> Holder | None:
    if not process.name.isdecimal():
        return None
    try:
        use, path = _first_use(process, mount_point)
        command = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    return Holder(int(process.name), command, use, path) if use else None


def _first_use(process: Path, mount_point: str) -> tuple[str, str]:
    for name, use in _FOLDER_LINKS:
        path = _link(process / name)
        if _is_below(path, mount_point):
            return use, path
    for descriptor in (process / "fd").iterdir():
        path = _link(descriptor)
        if _is_below(path, mount_point):
            return "an open file", path
    # The sixth column of maps is a path.
    for line in (process / "maps").read_bytes().decode("utf-8", "surrogateescape").split("\n"):
        columns = line.split(maxsplit=5)
        if len(columns) > 5 and _is_below(columns[5], mount_point):
            return "a mapped file", columns[5]
    return "", ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _is_below(path: str, mount_point: str) -> bool:
    return path == mount_point or path.startswith(mount_point.rstrip("/") + "/")
