"""A mount of the sample tree in another process, seen from the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from wimtui.engine.fuse.mount_info import find_mount

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 90.0


class Mounted:
    """The process, its mount point, and a line to it; its log is in the folder given."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        # Not below pytest's own folder: runs side by side clear old ones away, mounts and all.
        self.path = Path(tempfile.mkdtemp(prefix="wimtui-mount-"))
        self.log_path = folder / "log"
        settings["mount_point"] = str(self.path)
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuse.mount_fake", json.dumps(settings)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Self:
        assert self.answer() == {"ready": True}, self.log()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.process.poll() is None:
                with suppress(BrokenPipeError):
                    self.send("terminate")
                self.process.wait(DEADLINE_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                assert stream is not None
                stream.close()
            if find_mount(self.path) is not None:
                self.unmount("-z")
            self.path.rmdir()

    def send(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Return the next line, or None if the process ended without one."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, order: str) -> Any:
        self.send(order)
        return self.answer()

    def requests(self) -> dict[str, int]:
        counts: dict[str, int] = self.ask("activity")["requests"]
        return counts

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def unmount(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["fusermount3", "-u", *options, os.fspath(self.path)],
            capture_output=True,
            text=True,
            check=False,
        )

    def wait(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)


def wait_until(holds: Callable[[], object]) -> None:
    """Return when something holds; fail after half a minute."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)
