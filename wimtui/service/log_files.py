"""The log files of the app, the commands and the mount daemons."""

from __future__ import annotations

import os
from dataclasses import dataclass

from wimtui import logs

TAIL_NBYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class LogFile:
    """One log file."""

    path: str
    mount_id: str
    """Empty for what is no daemon's."""
    modified: float
    size: int


def log_files() -> tuple[LogFile, ...]:
    """Return the log files there are: the app's, the commands', then daemons', latest first."""
    found = []
    for path in logs.logs_dir().glob("*.log"):
        try:
            known = path.stat()
        except OSError:
            continue
        name = path.stem
        mount_id = name.removeprefix("mount-") if name.startswith("mount-") else ""
        found.append(LogFile(str(path), mount_id, known.st_mtime, known.st_size))
    return tuple(sorted(found, key=lambda log: (bool(log.mount_id), -log.modified)))


def tail(path: str, nbytes: int = TAIL_NBYTES) -> tuple[str, ...]:
    """Return the last whole lines of a file. Raises OSError."""
    with open(path, "rb") as file:  # noqa: PTH123
        start = max(0, os.fstat(file.fileno()).st_size - nbytes)
        file.seek(start)
        lines = file.read(nbytes).decode("utf-8", "replace").splitlines()
    return tuple(lines[1:] if start else lines)
