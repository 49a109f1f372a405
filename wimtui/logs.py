"""Logging for the command line, the app and daemons: one line a record, files of limited size."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

from wimtui import paths

log = logging.getLogger(__name__)

MAX_FILE_NBYTES = 1 << 20
KEPT_FILES = 3
"""Full files kept beside the one in use."""

_KEPT_MOUNT_LOGS = 20
_MOUNT_PREFIX = "mount-"
_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_STDERR_FORMAT = "wimtui: %(levelname)s: %(message)s"
_LINE_ENDS = str.maketrans({"\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class LogSetup:
    """What is logged where.

    Attributes:
        name: Whose log it is: ``cli``, ``app`` or ``mount-ID``; the file is ``NAME.log``.
        level: Lowest level for the file, such as ``INFO``.
        stderr_level: Lowest level for stderr; empty for none, as in the app and detached daemons.
        folder: Where the file is, by default ``logs`` in the state folder.
    """

    name: str
    level: str = "INFO"
    stderr_level: str = ""
    folder: Path | None = None


class OneLineFormatter(logging.Formatter):
    """Writes every record, tracebacks included, as one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with its line ends written as escapes."""
        return super().format(record).translate(_LINE_ENDS)


class SharedFileHandler(RotatingFileHandler):
    """A log file that several processes append to, each noticing when another has rotated it."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            maxBytes=MAX_FILE_NBYTES,
            backupCount=KEPT_FILES,
            encoding="utf-8",
            errors="backslashreplace",
        )

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether the file, reopened if it was rotated, is full."""
        self._reopen_if_rotated()
        return bool(super().shouldRollover(record))

    def doRollover(self) -> None:
        """Rotate the files, unless another process has just done it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(self.baseFilename + ".lock", flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._reopen_if_rotated():
                super().doRollover()
        finally:
            os.close(lock)

    def _reopen_if_rotated(self) -> bool:
        if self.stream is None:
            return False
        with contextlib.suppress(OSError):
            if os.path.samestat(Path(self.baseFilename).stat(), os.fstat(self.stream.fileno())):
                return False
        self.stream.close()
        self.stream = self._open()
        return True


def logs_dir() -> Path:
    """The folder of log files, made if need be."""
    return paths.private_folder(paths.state_dir() / "logs")


def set_up_logging(setup: LogSetup) -> Path | None:
    """Send the records of all modules where ``setup`` says, in place of where they went before.

    Returns:
        The log file; None, after a warning on stderr if that is used, if it cannot be written.
    """
    root = logging.getLogger()
    for handler in tuple(root.handlers):
        root.removeHandler(handler)
        handler.close()
    levels = []
    if setup.stderr_level:
        to_stderr = logging.StreamHandler(sys.stderr)
        to_stderr.setFormatter(OneLineFormatter(_STDERR_FORMAT))
        to_stderr.setLevel(setup.stderr_level)
        root.addHandler(to_stderr)
        levels.append(to_stderr.level)
    try:
        folder = setup.folder or logs_dir()
        path = folder / f"{setup.name}.log"
        to_file = SharedFileHandler(path)
    except OSError as error:
        root.setLevel(min(levels, default=logging.CRITICAL))
        root.addHandler(logging.NullHandler())
        log.warning("no log file: %s", error)
        return None
    to_file.setFormatter(OneLineFormatter(_FORMAT))
    to_file.setLevel(setup.level)
    root.addHandler(to_file)
    root.setLevel(min([*levels, to_file.level]))
    if setup.name.startswith(_MOUNT_PREFIX):
        _remove_old_mount_logs(folder)
    return path


def set_file_level(level: str) -> None:
    """Change the lowest level for the log file of this process.

    Raises:
        ValueError: There is no such level.
    """
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, SharedFileHandler):
            handler.setLevel(level)
    root.setLevel(min((handler.level for handler in root.handlers), default=logging.WARNING))


def _remove_old_mount_logs(folder: Path) -> None:
    """Every mount has a log of its own; the oldest go."""
    with contextlib.suppress(OSError):
        found = sorted(folder.glob(f"{_MOUNT_PREFIX}*.log"), key=lambda path: path.stat().st_mtime)
        for path in found[:-_KEPT_MOUNT_LOGS]:
            for part in folder.glob(path.name + "*"):
                part.unlink(missing_ok=True)
