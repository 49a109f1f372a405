"""A read-write mount through the command line, and how its daemon dies and comes back."""

from __future__ import annotations

import os
import select
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.mounting import mount_point, wimtui, wimtui_json

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = Path(__file__).resolve().parents[2] / "tools" / "sample" / "sample.wim"


@dataclass(frozen=True)
class Mounted:
    """A mount, and the WIM that it changes."""

    path: Path
    wim: Path

    def summary(self) -> dict[str, Any]:
        """Return what `wimtui mounts` says of it."""
        found = [one for one in wimtui_json("mounts") if one["mount_point"] == str(self.path)]
        assert len(found) == 1, found
        return dict(found[0])

    def status(self) -> dict[str, Any]:
        return dict(wimtui_json("status", self.path))

    def kill(self) -> None:
        """Kill the daemon as nothing can survive; returns when it is gone."""
        pid = self.summary()["pid"]
        descriptor = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            signal_gone(descriptor)
        finally:
            os.close(descriptor)

    def remount(self) -> None:
        wimtui("remount", self.path)

    def stagings(self) -> list[Path]:
        return sorted(self.wim.parent.glob(f"{self.wim.name}.staging-*"))


def signal_gone(descriptor: int) -> None:
    """Wait until a process is gone."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(30_000)


@contextmanager
def mounted_rw(wim: Path, *options: str, image: str = "1") -> Iterator[Mounted]:
    """Mount read-write; whatever state it is in at the end, nothing is left."""
    with mount_point() as where:
        wimtui("mountrw", wim, image, where, *options)
        mounted = Mounted(where, wim)
        try:
            yield mounted
        finally:
            if any(one["mount_point"] == str(where) for one in wimtui_json("mounts")):
                wimtui("unmount", where, "--force", "--discard")


def copied_sample(folder: Path) -> Path:
    """Return a copy of the sample to work on."""
    return Path(shutil.copy(SAMPLE, folder / "sample.wim"))
