"""Pictures of the app in screenshots/, as SVG and PNG: a real run on a real WIM, 120 by 36.

    python tools/screenshots.py [FOLDER]

Mounts tools/sample/sample.wim in a temporary folder with a registry of its own, and leaves nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from wimtui.app import WimtuiApp

SAMPLE = ROOT / "tools" / "sample" / "sample.wim"
SIZE = (120, 36)
DEADLINE_S = 30.0
CELL_WIDTH = 12.2
CELL_PIXELS = 15
FONT = "DejaVu Sans Mono"

Play = Callable[["Pilot[None]"], Awaitable[None]]


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing came in {DEADLINE_S:.0f} s")
        await pilot.pause(0.05)


class Photographer:
    """Drives one app and takes pictures of it."""

    def __init__(self, app: WimtuiApp, pilot: Pilot[None], target: Path) -> None:
        self.app = app
        self.pilot = pilot
        self.target = target

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.settle(0.1)

    async def settle(self, pause_s: float = 0.4) -> None:
        await self.pilot.pause(pause_s)
        await until(self.pilot, lambda: self.app.bridge.is_idle)
        await self.pilot.pause()

    async def take(self, name: str, *, toasts: bool = False) -> None:
        await self.settle()
        if not toasts:
            self.app.clear_notifications()
            await self.settle(0.1)
        svg = self.app.export_screenshot(title="wimtui")
        (self.target / f"{name}.svg").write_text(svg, encoding="utf-8")
        write_png(svg, self.target / f"{name}.png")
        print(name)


def write_png(svg: str, path: Path) -> None:
    """Draw with a font that is on the machine; the SVG itself names one of the web."""
    import cairosvg  # type: ignore[import-untyped]

    # Cairo does not stretch text to a given length, so the font has to be as wide as the cells:
    # 12.2 units, its own advance being 0.602 of its size. It also rounds that to whole pixels,
    # hence the scale.
    drawn = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", FONT)
    drawn = drawn.replace("font-size: 20px", f"font-size: {CELL_WIDTH / 0.602:.3f}px")
    cairosvg.svg2png(bytestring=drawn.encode(), write_to=str(path), scale=CELL_PIXELS / CELL_WIDTH)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


async def read_for_a_while(folder: Path) -> None:
    """Give the sparkline something to show."""
    found = await asyncio.to_thread(files_below, folder)
    for round_number in range(6):
        for path in found[: 4 + 9 * (round_number % 4)]:
            await asyncio.to_thread(path.read_bytes)
            await asyncio.to_thread(subprocess.run, ["dd", f"if={path}", "of=/dev/null",
                                    "iflag=direct", "status=none"], check=False)  # fmt: skip
        await asyncio.sleep(1.0)


async def play(wim: Path, points: list[Path], target: Path) -> None:
    from wimtui import messages
    from wimtui.app import WimtuiApp
    from wimtui.settings import Settings

    app = WimtuiApp(user_settings=Settings())
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        camera = Photographer(app, pilot, target)
        await until(pilot, lambda: len(app.mounts) >= len(points))
        await read_for_a_while(points[0])
        await camera.press("j", "k")
        await camera.take("home")
        app.post_message(messages.ShowArchive(str(wim)))
        await camera.settle()
        await camera.press("j")
        await camera.take("wim")
        await camera.press("m")
        await camera.settle()
        await camera.take("mount")
        await camera.press("escape", "b")
        await camera.settle()
        await camera.press("slash", *"notepad.exe")
        await camera.settle()
        await camera.press("enter", "enter")
        await camera.settle()
        await camera.take("browse")
        await camera.press("slash", *"dri")
        await camera.take("find")
        await camera.press("escape", "escape", "v")
        await until(pilot, lambda: app.bridge.jobs.jobs and not app.bridge.jobs.running)
        await camera.press("J")
        await camera.take("jobs")
        await camera.press("escape", "escape")
        await take_unmount(camera, points[0])
        await camera.press("question_mark")
        await camera.take("help")
        await camera.press("escape", "ctrl+p")
        await camera.take("palette")
        await camera.press("escape", "L", "j")
        await camera.take("log")
        await camera.press("escape", "o")
        await camera.take("open")
        await camera.press("escape", "escape")
        await take_staging(camera, wim)


async def take_staging(camera: Photographer, wim: Path) -> None:
    """What has changed in a read-write mount, with the diff of a text."""
    from wimtui import staging_messages
    from wimtui.widgets.change_table import ChangeTable

    app, work, point = camera.app, wim.with_name("work.wim"), wim.parent / "mnt" / "work"
    shutil.copy(SAMPLE, work)
    point.mkdir()
    await asyncio.to_thread(wimtui, "mountrw", work, "1", point)
    try:
        await asyncio.to_thread(change, point)
        found = lambda: [one for one in app.mounts if one.mount_point == str(point)]  # noqa: E731
        await until(camera.pilot, found)
        app.post_message(staging_messages.ShowStaging(found()[0]))
        await camera.settle()
        table = app.screen.query_one(ChangeTable)
        await until(camera.pilot, lambda: table.move_to("/license.rtf"))
        await camera.settle(1.0)
        await camera.take("staging")
        await camera.press("escape")
    finally:
        await asyncio.to_thread(wimtui, "unmount", "--force", "--discard", point)


def change(root: Path) -> None:
    """Do some of everything to a mount."""
    lines = (root / "license.rtf").read_text().splitlines(keepends=True)
    lines[7:9] = ["This line takes the place of two.\n"]
    (root / "license.rtf").write_text("".join(lines))
    (root / "Windows" / "Panther").mkdir()
    (root / "Windows" / "Panther" / "unattend.xml").write_text("<unattend/>\n" * 120)
    (root / "Windows" / "Panther" / "setup.log").write_text("ready\n")
    (root / "setup.exe").rename(root / "Windows" / "setup.exe")
    (root / "notepad.lnk").unlink()
    os.utime(root / "Users", ns=(10**18, 10**18))


async def take_unmount(camera: Photographer, point: Path) -> None:
    """The dialog about a mount that somebody uses."""
    holder = await asyncio.create_subprocess_exec("sleep", "600", cwd=point / "Windows")
    try:
        await camera.press("g", "u")
        await camera.settle(1.0)
        await camera.take("unmount")
        await camera.press("escape")
    finally:
        holder.kill()
        await holder.wait()


def wimtui(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "wimtui", *map(str, words)], check=True, cwd=ROOT)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="wimtui-", dir="/tmp"))
    for name in ("config", "state", "cache"):
        os.environ[f"XDG_{name.upper()}_HOME"] = str(home / name)
    os.environ["WIMTUI_RUNTIME_DIR"] = str(home / "run")
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    os.environ.pop("NO_COLOR", None)
    wim = home / "install.wim"
    shutil.copy(SAMPLE, wim)
    points = [home / "mnt" / "pe", home / "mnt" / "professional"]
    try:
        for number, point in enumerate(points, 1):
            point.mkdir(parents=True)
            wimtui("mount", wim, str(number), point)
        asyncio.run(play(wim, points, target))
    finally:
        for point in points:
            subprocess.run(["fusermount3", "-uz", point], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
