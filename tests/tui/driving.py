"""How tests drive the app, and wait for what it shows."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.app import WimtuiApp
from wimtui.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    from wimtui.service.mounts import MountSummary

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_S = 90.0


def make_app(*wims: Path | str, readonly: bool = False) -> WimtuiApp:
    return WimtuiApp([str(wim) for wim in wims], readonly=readonly, user_settings=Settings())


def drive(
    app: WimtuiApp,
    scenario: Callable[[Pilot[None]], Awaitable[None]],
    *,
    size: tuple[int, int] = (120, 36),
) -> None:
    """Run the app without a terminal while ``scenario`` plays on it."""

    async def main() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            await scenario(pilot)
            await until(pilot, lambda: app.bridge.is_idle, "all questions are answered")

    asyncio.run(main())


async def until(pilot: Pilot[None], condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition; fails with what is on screen."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so in {DEADLINE_S:.0f} s: {what}\n{screen_text(pilot)}")
        await pilot.pause(0.02)
    # A screen is the app's before it has its widgets.
    await pilot.pause(0)


async def until_shown(pilot: Pilot[None], text: str) -> None:
    """Wait for a text anywhere on screen."""
    await until(pilot, lambda: text in screen_text(pilot), f"{text!r} is on screen")


async def type_text(pilot: Pilot[None], text: str) -> None:
    """Press the keys of a text."""
    names = {"/": "slash", ".": "full_stop", "-": "minus", "_": "underscore", " ": "space",
             "*": "asterisk", "[": "left_square_bracket"}  # fmt: skip
    await pilot.press(*(names.get(sign, sign) for sign in text))


def screen_text(pilot: Pilot[None]) -> str:
    """What the screen shows, as lines of text."""
    app = pilot.app
    width, height = app.size
    lines = app.screen._compositor.render_strips(app.size)[:height]
    return "\n".join(strip.text[:width].rstrip() for strip in lines)


def mount_at(app: WimtuiApp, point: Path) -> MountSummary:
    """What the app's list says of a mount; the machine may have others."""
    found = [one for one in app.mounts if one.mount_point == str(point)]
    assert found, app.mounts
    return found[0]


class Mounter:
    """Mounts WIMs with the command line, beside the app under test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._points: list[Path] = []

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "wimtui", *map(str, words)],
            capture_output=True, text=True, check=False, timeout=60, cwd=ROOT, env=os.environ,
        )  # fmt: skip

    def mount(self, wim: Path, image: int, name: str = "m", *, read_write: bool = False) -> Path:
        point = self.home / name
        point.mkdir(exist_ok=True)
        done = self.run("mountrw" if read_write else "mount", wim, str(image), point)
        assert done.returncode == 0, done.stderr
        self._points.append(point)
        return point

    def end_all(self) -> None:
        for point in self._points:
            if os.path.ismount(point):
                self.run("unmount", "--force", "--discard", point)


def is_mounted(point: Path) -> bool:
    """Whether the kernel has something mounted there; asks no file system."""
    points = (line.split(" ")[4].replace("\\040", " ") for line in mountinfo_lines())
    return str(point) in points


def mountinfo_lines() -> list[str]:
    """The kernel's table of mounts; names in it may be any bytes."""
    data = Path("/proc/self/mountinfo").read_bytes()
    return data.decode("utf-8", "surrogateescape").split("\n")[:-1]
