"""Logging for the command line, the app and daemons: one line a record, files of limited size."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
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


def set_up_cli(*, level: int = logging.WARNING) -> Path | None:
    """Log for a command: records from ``level`` up to stderr, from INFO up to ``cli.log``.

    This and the other two replace what was set up before, and return the log file; None, after a
    warning, if it cannot be written.
    """
    return _set_up(_in_logs_dir("cli.log"), min(level, logging.INFO), stderr_level=level)


def set_up_app(*, level: int = logging.INFO) -> Path | None:
    """Log for the app, to ``app.log`` alone: the terminal belongs to the screens."""
    return _set_up(_in_logs_dir("app.log"), level)


def set_up_daemon(
    mount_id: str, *, level: int = logging.INFO, log_file: Path | None = None, foreground: bool
) -> Path | None:
    """Log for a mount daemon.

    Args:
        mount_id: Names the file, ``mount-ID.log``; the logs of old mounts are removed.
        level: Lowest level of the records.
        log_file: A file to use instead.
        foreground: Whether records go to stderr as well.
    """
    path = log_file or _in_logs_dir(f"{_MOUNT_PREFIX}{mount_id}.log")
    made = _set_up(path, level, stderr_level=level if foreground else None)
    if made is not None and log_file is None:
        _remove_old_mount_logs(made.parent)
    return made


def _in_logs_dir(name: str) -> Path | OSError:
    try:
        return logs_dir() / name
    except OSError as error:
        return error


def _set_up(path: Path | OSError, level: int, stderr_level: int | None = None) -> Path | None:
    root = logging.getLogger()
    for handler in tuple(root.handlers):
        root.removeHandler(handler)
        handler.close()
    levels = []
    if stderr_level is not None:
        to_stderr = logging.StreamHandler(sys.stderr)
        to_stderr.setFormatter(OneLineFormatter(_STDERR_FORMAT))
        to_stderr.setLevel(stderr_level)
        root.addHandler(to_stderr)
        levels.append(stderr_level)
    try:
        if isinstance(path, OSError):
            raise path
        to_file = SharedFileHandler(path)
    except OSError as error:
        # Without any handler, the logging module would write to stderr on its own account.
        root.addHandler(logging.NullHandler())
        root.setLevel(min(levels, default=logging.CRITICAL))
        log.warning("no log file: %s", error)
        return None
    to_file.setFormatter(OneLineFormatter(_FORMAT))
    to_file.setLevel(level)
    root.addHandler(to_file)
    root.setLevel(min([*levels, level]))
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
