"""A read-write mount beside the app under test, and the cursor put on it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tests.tui.driving import Mounter, is_mounted, until
from wimtui.widgets.mount_table import MountTable

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from wimtui.widgets.mount_rows import MountRow


class Writable:
    """A mount of image 1 whose name is ``rw``.

    Attributes:
        path: The mount point.
        wim: Its WIM.
    """

    def __init__(self, mounter: Mounter, wim: Path) -> None:
        self.wim = wim
        self.path = mounter.home / "rw"
        self.path.mkdir()
        self._mounter = mounter
        done = mounter.run("mountrw", wim, "1", self.path)
        assert done.returncode == 0, done.stderr

    def write(self, name: str, data: bytes) -> None:
        (self.path / name).write_bytes(data)

    def changes(self) -> list[str]:
        """Paths of what is staged."""
        done = self._mounter.run("status", self.path, "--json")
        assert done.returncode == 0, done.stderr
        return [change["path"] for change in json.loads(done.stdout)["changes"]]

    def names(self, image: int = 1, *, wim: Path | None = None) -> list[str]:
        """Paths of all files of an image."""
        done = self._mounter.run("dir", wim or self.wim, str(image))
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def verify(self) -> str:
        """What `wimtui verify` says."""
        done = self._mounter.run("verify", self.wim)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stagings(self) -> list[Path]:
        """The staging folders beside the WIM."""
        return sorted(self.wim.parent.glob(f"{self.wim.name}.staging-*"))

    def keep(self) -> None:
        """Unmount and leave what is staged."""
        done = self._mounter.run("unmount", "--keep", self.path)
        assert done.returncode == 0, done.stderr

    def wait_unmounted(self) -> None:
        """Wait until nothing of the mount is left."""
        deadline = time.monotonic() + 60.0
        while is_mounted(self.path) or self.stagings():
            assert time.monotonic() < deadline, "it is still mounted"
            time.sleep(0.05)

    def end(self) -> None:
        """Leave nothing mounted."""
        if is_mounted(self.path):
            self._mounter.run("unmount", "--force", "--discard", self.path)


async def choose(pilot: Pilot[None], point: Path) -> MountRow:
    """Put the cursor of the home screen on a mount, whose daemon has been heard by then."""
    table = pilot.app.screen_stack[0].query_one(MountTable)

    def find() -> MountRow | None:
        rows = (row for row in table.rows if row.summary.mount_point == str(point))
        return next(rows, None)

    def is_known() -> bool:
        row = find()
        return row is not None and (row.activity is not None or not row.summary.alive)

    await until(pilot, is_known, f"{point} is listed")
    row = find()
    assert row is not None
    table.move_to(row.key)
    await pilot.pause()
    return row
