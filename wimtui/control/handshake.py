"""How a daemon gets its options from the process that starts it, and reports whether it stands.

Options are one JSON object in a file descriptor. The report is lines of JSON in a pipe: any number
of ``{"t":"progress",...}``, then one ``{"t":"ready",...}`` or ``{"t":"error",...}``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIONS_FD_OPTION = "--options-fd"
REPORT_FD_OPTION = "--report-fd"

_STDERR_FD = 2


@dataclass(frozen=True, slots=True)
class StartProgress:
    """A daemon is still starting, and busy with this."""

    phase: str
    done: int = 0
    total: int = 0


class Startup:
    """A daemon's side of its start.

    Attributes:
        options: What the starting process passed.
        foreground: Whether nobody waits for a report, as the daemon runs in somebody's terminal.
    """

    __slots__ = ("_report", "foreground", "options")

    def __init__(self, options: Mapping[str, Any], report: int | None) -> None:
        self.options = options
        self.foreground = report is None
        self._report = report

    @classmethod
    def from_arguments(cls, arguments: list[str] | None = None) -> Startup:
        """Read the options from the descriptor that the command line names.

        Raises:
            ValueError: They are no JSON object.
        """
        parser = argparse.ArgumentParser(prog="wimtui.daemon")
        parser.add_argument(OPTIONS_FD_OPTION, type=int, required=True)
        parser.add_argument(REPORT_FD_OPTION, type=int)
        parsed = parser.parse_args(arguments)
        with os.fdopen(parsed.options_fd, "rb") as file:
            options = json.load(file)
        if not isinstance(options, dict):
            raise ValueError("the options of a daemon are a JSON object")
        if parsed.report_fd is not None:
            # What the daemon starts, such as fusermount3, must not keep the pipe open.
            os.set_inheritable(parsed.report_fd, False)
        return cls(options, parsed.report_fd)

    def progress(self, phase: str, done: int = 0, total: int = 0) -> None:
        """Tell the starting process that the start goes on, and to keep waiting."""
        self._write({"t": "progress", "phase": phase, "done": done, "total": total})

    def ready(self, mount_id: str, stderr_path: Path | None = None) -> None:
        """The mount stands. The starting process returns.

        Args:
            mount_id: The mount's name in the registry.
            stderr_path: File for what is written to stderr from here on, such as the traces of a
                crash; the starting process has read what there was. Not used in the foreground.
        """
        self._write({"t": "ready", "mount_id": mount_id, "pid": os.getpid()})
        self.close()
        if not self.foreground:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            target = os.open(stderr_path or Path(os.devnull), flags, 0o600)
            os.dup2(target, _STDERR_FD)
            os.close(target)

    def failed(self, code: int, text: str, hint: str = "", name: str = "") -> None:
        """The daemon cannot serve and is about to end; in the foreground this goes to stderr."""
        if self.foreground:
            with contextlib.suppress(OSError):
                print(f"wimtui: {text}; {hint}" if hint else f"wimtui: {text}", file=sys.stderr)
        self._write({"t": "error", "code": code, "text": text, "hint": hint, "name": name})
        self.close()

    def close(self) -> None:
        """Close the pipe; harmless when done twice."""
        if self._report is not None:
            os.close(self._report)
            self._report = None

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._report is None:
            return
        # The starting process may be gone; the mount is made all the same.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._report, json.dumps(line).encode("ascii") + b"\n")
