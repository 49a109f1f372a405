"""Pictures of the app in screenshots/, as SVG and PNG: a real run on a real WIM, 120 by 36.

    python tools/screenshots.py [FOLDER]

Mounts tools/sample/sample.wim in /tmp/wims with a registry of its own, and leaves nothing.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

    from wimtui.app import WimtuiApp
    from wimtui.service.frontend import Services
    from wimtui.service.mounts import MountSummary
    from wimtui.service.recovery import Recoverable

SAMPLE = ROOT / "tools" / "sample" / "sample.wim"
SIZE = (120, 36)
DEADLINE_S = 60.0
POINTS = {"pe": ("mount", "1"), "pro": ("mount", "2"), "work": ("mountrw", "1")}
"""How each mount is made, and of which image."""

CELL_WIDTH = 12.2
CELL_PIXELS = 15
FONT = "DejaVu Sans Mono"


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything in the pictures is."""

    home: Path

    @property
    def wim(self) -> Path:
        """The one that is read."""
        return self.home / "install.wim"

    @property
    def work(self) -> Path:
        """The one that is changed."""
        return self.home / "work.wim"

    def point(self, name: str) -> Path:
        return self.home / name


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
        await self.shoot(name)

    async def shoot(self, name: str) -> None:
        """Take what is on screen at this moment."""
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


def own_services(home: Path) -> Services:
    """Return services that know of nothing outside a folder; root sees all mounts there are."""
    from wimtui.service import frontend

    class OwnServices(frontend.Services):
        def list_mounts(self) -> tuple[MountSummary, ...]:
            below = f"{home}/"
            return tuple(one for one in super().list_mounts() if one.wim_path.startswith(below))

        def recoverables(self) -> tuple[Recoverable, ...]:
            below = f"{home}/"
            return tuple(one for one in super().recoverables() if one.wim_path.startswith(below))

    return OwnServices()


async def play(place: Place, target: Path) -> None:
    from wimtui.app import WimtuiApp
    from wimtui.settings import Settings

    app = WimtuiApp(services=own_services(place.home), user_settings=Settings())
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        camera = Photographer(app, pilot, target)
        await until(pilot, lambda: len(app.mounts) >= 3)
        await read_for_a_while(place.point("pe"))
        await camera.press("g")
        await camera.take("home")
        await take_archive(camera, place)
        await camera.press("question_mark")
        await camera.take("help")
        await camera.press("escape", "ctrl+p")
        await camera.take("palette")
        await camera.press("escape", "L", "j")
        await camera.take("log")
        await camera.press("escape", "o")
        await camera.take("open")
        await camera.press("escape", "escape")
        await take_staging(camera, place)
        await take_recover(camera, place)


async def take_archive(camera: Photographer, place: Place) -> None:
    """A WIM, what mounting it asks, an image of it, and what was found there."""
    from wimtui import messages

    app = camera.app
    app.post_message(messages.ShowArchive(str(place.wim)))
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
    await until(camera.pilot, lambda: app.bridge.jobs.jobs and not app.bridge.jobs.running)
    await camera.settle()
    app.clear_notifications()
    await camera.press("J")
    await camera.take("jobs")
    await camera.press("escape", "escape")


async def take_staging(camera: Photographer, place: Place) -> None:
    """What has changed in a read-write mount, with the diff of a text; and what becomes of it."""
    from textual.widgets import Checkbox, Select

    from wimtui import staging_messages
    from wimtui.jobs import JobState
    from wimtui.widgets.change_table import ChangeTable

    app, point = camera.app, place.point("work")
    (mount,) = [one for one in app.mounts if one.mount_point == str(point)]
    app.post_message(staging_messages.ShowStaging(mount))
    await camera.settle()
    table = app.screen.query_one(ChangeTable)
    await until(camera.pilot, lambda: table.move_to("/license.rtf"))
    await camera.settle(1.0)
    await camera.take("staging")

    holder = await asyncio.create_subprocess_exec("sleep", "600", cwd=point / "Windows")
    try:
        await camera.press("u")
        await camera.settle(1.5)
        await camera.take("unmount")
        await camera.press("escape")
    finally:
        holder.kill()
        await holder.wait()

    await asyncio.to_thread(write_much, point)
    await camera.press("c")
    await camera.settle(1.0)
    app.screen.query_one("#recompress", Checkbox).value = True
    app.screen.query_one("#compress", Select).value = "LZMS"
    await camera.settle(0.5)
    await camera.press("ctrl+s")
    await until(camera.pilot, lambda: app.bridge.jobs.running)
    job = app.bridge.jobs.jobs[-1]
    await camera.press("J")
    await until(camera.pilot, lambda: job.progress.fraction > 0.4 and job.phases)
    await camera.shoot("progress")
    await until(camera.pilot, lambda: job.state is not JobState.RUNNING)
    await camera.press("escape", "escape", "escape")


async def take_recover(camera: Photographer, place: Place) -> None:
    """What a killed daemon left."""
    app, point = camera.app, place.point("work")
    await asyncio.to_thread(change_again, point)
    (mount,) = [one for one in app.mounts if one.mount_point == str(point)]
    os.kill(mount.pid, signal.SIGKILL)
    await until(camera.pilot, lambda: not all(one.alive for one in app.mounts))
    await camera.press("ctrl+r")
    await camera.settle(1.0)
    await camera.take("recover")
    await camera.press("escape")
    await asyncio.to_thread(wimtui, "unmount", "--discard", point)


def write_much(root: Path) -> None:
    """Give a commit enough to do to be looked at."""
    source = random.Random(1)
    folder = root / "Windows" / "System32" / "DriverStore"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(16):
        data = base64.b64encode(source.randbytes(1_200_000))
        (folder / f"package-{number:02}.cab").write_bytes(data)


def change_again(root: Path) -> None:
    """Do a little that is lost to nobody."""
    (root / "Windows" / "Panther" / "setup.log").write_text("ready\nset\n")
    (root / "Windows" / "Panther" / "cbs.log").write_text("started\n" * 40)


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


def wimtui(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "wimtui", *map(str, words)], check=True, cwd=ROOT)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    # Short, as it is seen in the pictures.
    home = Path("/tmp/wims")
    home.mkdir(mode=0o700)
    for name in ("config", "state", "cache"):
        os.environ[f"XDG_{name.upper()}_HOME"] = str(home / ".own" / name)
    os.environ["WIMTUI_RUNTIME_DIR"] = str(home / ".own" / "run")
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    os.environ.pop("NO_COLOR", None)
    place = Place(home)
    try:
        shutil.copy(SAMPLE, place.wim)
        shutil.copy(SAMPLE, place.work)
        for name, (command, image) in POINTS.items():
            place.point(name).mkdir()
            wim = place.work if name == "work" else place.wim
            wimtui(command, wim, image, place.point(name))
        change(place.point("work"))
        asyncio.run(play(place, target))
    finally:
        for point in map(place.point, POINTS):
            subprocess.run(["fusermount3", "-uz", point], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
