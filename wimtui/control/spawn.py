"""Starting a mount daemon, detached from whoever starts it or in its place."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import wimtui
from wimtui.control.errors import DaemonStartError, RemoteError
from wimtui.control.handshake import OPTIONS_FD_OPTION, REPORT_FD_OPTION, StartProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

DAEMON_MODULE = "wimtui.daemon"

_STDERR_TAIL_NBYTES = 4096
_TERMINATE_S = 10.0
_READ_NBYTES = 65536


@dataclass(frozen=True, slots=True)
class DaemonCommand:
    """How a daemon is started.

    Attributes:
        module: What ``python -m`` runs.
        silence_s: Seconds without any report from a starting daemon after which it is given up.
        environment: Variables set beside those of this process.
    """

    module: str = DAEMON_MODULE
    silence_s: float = 60.0
    environment: Mapping[str, str] = field(default_factory=dict)

    def arguments(self, options_fd: int, report_fd: int | None) -> list[str]:
        """The command line. ``-P``: the folder one stands in is no place for modules."""
        report = [] if report_fd is None else [REPORT_FD_OPTION, str(report_fd)]
        options = [OPTIONS_FD_OPTION, str(options_fd)]
        return [sys.executable, "-P", "-m", self.module, *options, *report]

    def variables(self) -> dict[str, str]:
        """The environment, in which the daemon finds the same wimtui as this process."""
        root = str(Path(wimtui.__file__).resolve().parent.parent)
        variables = {**os.environ, **self.environment}
        # Not for site-packages: named first, they would come before the standard library.
        if Path(root).name not in ("site-packages", "dist-packages"):
            known = variables.get("PYTHONPATH")
            variables["PYTHONPATH"] = root if not known else f"{root}{os.pathsep}{known}"
        return variables


@dataclass(frozen=True, slots=True)
class StartedDaemon:
    """A daemon that serves."""

    mount_id: str
    pid: int


def spawn_daemon(
    options: Mapping[str, Any],
    *,
    command: DaemonCommand | None = None,
    on_progress: Callable[[StartProgress], None] | None = None,
) -> StartedDaemon:
    """Start a daemon in a session of its own and wait until its mount stands.

    It has ``/`` as its folder and /dev/null as stdin and stdout. If anything but its readiness
    ends the wait, KeyboardInterrupt included, the daemon is ended.

    Args:
        options: What the daemon is to do; JSON values.
        command: How to start it.
        on_progress: Called with what the daemon says it is busy with.

    Raises:
        RemoteError: The daemon reports an error; the code is the daemon's.
        DaemonStartError: It ended without a word, or was silent for too long.
    """
    command = command or DaemonCommand()
    with tempfile.TemporaryFile() as stderr:
        report_fd, daemon_report_fd = os.pipe()
        interrupt = _HeldInterrupt()
        try:
            process = _start(command, options, daemon_report_fd, stderr)
        except OSError as error:
            interrupt.release()
            os.close(report_fd)
            raise DaemonStartError(f"the mount daemon cannot be started: {error}") from error
        finally:
            os.close(daemon_report_fd)
        try:
            interrupt.release()
            started = _wait_for_report(report_fd, command.silence_s, on_progress)
        except BaseException:
            _end(process)
            raise
        finally:
            os.close(report_fd)
        if started is None:
            code = _end(process)
            raise DaemonStartError(_describe_end(code, stderr))
    # Somebody has to collect the exit status, or the daemon stays as a zombie while we live.
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()
    return started


def become_daemon(options: Mapping[str, Any], *, command: DaemonCommand | None = None) -> NoReturn:
    """Turn this process into a daemon that stays in the terminal, or under a service manager.

    Signals, exit status and stderr are then the daemon's own; it reports errors on stderr.

    Raises:
        DaemonStartError: The interpreter cannot be started.
    """
    command = command or DaemonCommand()
    options_fd = _options_file(options)
    os.set_inheritable(options_fd, True)
    sys.stdout.flush()
    sys.stderr.flush()
    arguments = command.arguments(options_fd, None)
    try:
        os.execve(sys.executable, arguments, command.variables())
    except OSError as error:
        os.close(options_fd)
        raise DaemonStartError(f"the mount daemon cannot be started: {error}") from error


class _HeldInterrupt:
    """Ctrl-C waits from here until ``release``: it must not come between a fork and its pid."""

    def __init__(self) -> None:
        self._came = False
        # Python runs handlers in the main thread alone, and nowhere else can they be set.
        self._is_held = threading.current_thread() is threading.main_thread()
        if self._is_held:
            # None where the handler is not Python's.
            self._before = signal.signal(signal.SIGINT, self._note) or signal.SIG_DFL

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = True

    def release(self) -> None:
        """Let it through. Raises KeyboardInterrupt, or what its handler raises."""
        if not self._is_held:
            return
        self._is_held = False
        signal.signal(signal.SIGINT, self._before)
        if self._came:
            signal.raise_signal(signal.SIGINT)


def _start(
    command: DaemonCommand, options: Mapping[str, Any], report_fd: int, stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    options_fd = _options_file(options)
    try:
        return subprocess.Popen(
            command.arguments(options_fd, report_fd),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=(options_fd, report_fd),
            cwd="/",
            env=command.variables(),
            start_new_session=True,
        )
    finally:
        os.close(options_fd)


def _options_file(options: Mapping[str, Any]) -> int:
    """A descriptor that the options can be read from; memory, as a pipe could fill up and block."""
    descriptor = os.memfd_create("wimtui-options")
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(json.dumps(dict(options)).encode("ascii"))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _wait_for_report(
    report_fd: int, silence_s: float, on_progress: Callable[[StartProgress], None] | None
) -> StartedDaemon | None:
    """The daemon's word that it is ready; None if the pipe ends without one."""
    poll = select.poll()
    poll.register(report_fd, select.POLLIN)
    deadline = time.monotonic() + silence_s
    unread = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise DaemonStartError(
                f"the mount daemon did not report within {silence_s:g} s and was ended",
                hint="the log in the state folder may tell what it was waiting for",
            )
        read = os.read(report_fd, _READ_NBYTES)
        if not read:
            return None
        deadline = time.monotonic() + silence_s
        *lines, unread = (unread + read).split(b"\n")
        for line in lines:
            started = _take_line(line, on_progress)
            if started is not None:
                return started


def _take_line(
    line: bytes, on_progress: Callable[[StartProgress], None] | None
) -> StartedDaemon | None:
    try:
        report = json.loads(line)
        kind = report["t"]
        if kind == "ready":
            return StartedDaemon(str(report["mount_id"]), int(report["pid"]))
        if kind == "progress" and on_progress is not None:
            progress = StartProgress(
                str(report["phase"]), int(report["done"]), int(report["total"])
            )
            on_progress(progress)
        if kind != "error":
            return None
        code, text = int(report["code"]), str(report["text"])
        hint, name = str(report.get("hint", "")), str(report.get("name", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise DaemonStartError(f"the mount daemon reports {line!r:.200}") from error
    raise RemoteError(code, text, hint=hint, name=name)


def _end(process: subprocess.Popen[bytes]) -> int:
    """End a daemon that did not start, kindly first; its exit status."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.wait(_TERMINATE_S)
    process.kill()
    return process.wait()


def _describe_end(code: int, stderr: IO[bytes]) -> str:
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _STDERR_TAIL_NBYTES))
    tail = stderr.read().decode("utf-8", "replace").strip()
    said = f"; its last words:\n{tail}" if tail else " and said nothing"
    return f"the mount daemon {ended} before its mount stood{said}"
