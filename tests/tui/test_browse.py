"""Browse: the tree, previews, facts, search and extraction."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from tests.tui.driving import Mounter, drive, make_app, screen_text, type_text, until, until_shown
from wimtui.app import WimtuiApp
from wimtui.jobs import JobState
from wimtui.screens.home import HomeScreen
from wimtui.service import shell
from wimtui.service.images import open_image
from wimtui.widgets.entry_tree import EntryTree
from wimtui.widgets.found_table import FoundTable
from wimtui.widgets.text_view import TextView

if TYPE_CHECKING:
    from textual.pilot import Pilot


async def browse(pilot: Pilot[None]) -> EntryTree:
    await until_shown(pilot, "Index")
    await pilot.press("G", "b")
    await until_shown(pilot, "Windows/")
    return pilot.app.screen.query_one(EntryTree)


async def go_to(pilot: Pilot[None], name: str) -> None:
    await pilot.press("slash")
    await type_text(pilot, name)
    found = pilot.app.screen.query_one(FoundTable)
    await until(pilot, lambda: found.display and found.rows, f"{name} is found")
    await pilot.press("enter", "enter")
    tree = pilot.app.screen.query_one(EntryTree)
    await until(
        pilot,
        lambda: tree.display and tree.current and tree.current.entry.name.casefold() == name,
        f"the cursor is on {name}",
    )


def test_folders_open_and_close(wim: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        tree = await browse(pilot)
        names = [row.entry.name for row in tree.rows]
        assert names[0] == "/"
        with open_image(str(wim), "2") as image:
            assert sorted(names[1:]) == sorted(entry.name for entry in image.entries())
        tree.move_to(next(row.entry.dentry for row in tree.rows if row.entry.name == "Windows"))
        await pilot.press("right")
        await until(pilot, lambda: any(row.entry.name == "System32" for row in tree.rows))
        await pilot.press("left")
        assert [row.entry.name for row in tree.rows] == names
        await pilot.press("space")
        assert any(row.entry.name == "System32" for row in tree.rows)
        await pilot.press("right", "left")
        assert tree.current is not None
        assert tree.current.entry.name == "Windows"

    drive(make_app(wim), scenario)


def test_text_hex_links_and_facts_are_shown(wim: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        await browse(pilot)
        view = pilot.app.screen.query_one(TextView)
        await go_to(pilot, "hosts")
        await until(pilot, lambda: str(view.border_title).startswith("Text"), "text")
        with open_image(str(wim), "2") as image:
            data = b"".join(image.read("/Windows/System32/drivers/etc/hosts"))
        first = data.decode().splitlines()[0].expandtabs(4)
        assert view.text.split("\n")[0].rstrip("\r") == first
        await until_shown(pilot, "SHA-1")
        await go_to(pilot, "ntoskrnl.exe")
        await until(pilot, lambda: view.border_title == "Hex", "hex")
        assert view.text.startswith("00000000  ")
        await go_to(pilot, "notepad.lnk")
        await until(pilot, lambda: view.border_title == "Link", "link")
        await until_shown(pilot, "Points to")

    drive(make_app(wim), scenario, size=(140, 50))


def test_security_and_short_names_are_shown(wim: Path) -> None:
    with open_image(str(wim), "2") as image:
        shown = [image.details(dentry) for dentry, _ in image.walk()]
    with_security = next(one for one in shown if one.sddl and one.path != b"/")

    async def scenario(pilot: Pilot[None]) -> None:
        await browse(pilot)
        await go_to(pilot, with_security.path.decode().rsplit("/", 1)[1].casefold())
        await until_shown(pilot, "Security")
        assert (with_security.sddl or "")[:20] in screen_text(pilot)

    drive(make_app(wim), scenario, size=(160, 50))


def test_search_takes_globs_and_folders(wim: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        await browse(pilot)
        screen = pilot.app.screen
        found = screen.query_one(FoundTable)
        await pilot.press("slash")
        box = screen.query_one("#find", Input)

        def shows(wanted: set[str]) -> bool:
            return {row.path for row in found.rows} == wanted

        for text, matches in (
            ("*.inf", lambda path: path.endswith(".inf")),
            ("system32/*.sys", lambda path: "/System32/" in path and path.endswith(".sys")),
            ("NOTEPAD", lambda path: "notepad" in path.rsplit("/", 1)[1].casefold()),
        ):
            box.value = text
            with open_image(str(wim), "2") as image:
                wanted = {path for _, path in image.walk() if matches(path)}
            assert wanted
            await until(pilot, partial(shows, wanted), text)
        box.value = "no such name"
        await until_shown(pilot, "Nothing has such a name")
        await pilot.press("escape")
        assert screen.query_one(EntryTree).display

    drive(make_app(wim), scenario)


def test_a_folder_is_extracted_as_a_job(wim: Path, home: Path) -> None:
    target = home / "out"
    app: WimtuiApp = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await browse(pilot)
        await go_to(pilot, "inf")
        await pilot.press("e")
        await until_shown(pilot, "Into folder")
        box = pilot.app.screen.query_one("#folder", Input)
        box.value = str(target)
        await pilot.press("enter")
        await until(pilot, lambda: app.bridge.jobs.jobs and not app.bridge.jobs.running, "over")
        assert app.bridge.jobs.jobs[0].state is JobState.DONE, app.bridge.jobs.jobs[0].summary
        await until_shown(pilot, "● done")

    drive(app, scenario)
    with open_image(str(wim), "2") as image:
        paths = [path for _, path in image.walk("/Windows/INF")][1:]
        assert paths
        for path in paths:
            assert (target / path.removeprefix("/Windows/")).read_bytes() == b"".join(
                image.read(path)
            )
    assert sorted(one.name for one in target.iterdir()) == ["INF"]


def test_sorting_keeps_folders_first(wim: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        tree = await browse(pilot)
        await pilot.press("s")
        assert tree.sort_key == "size"
        rows = tree.rows[1:]
        files = [row.entry.size for row in rows if not row.entry.is_directory]
        assert files == sorted(files)
        kinds = [row.entry.is_directory for row in rows]
        assert kinds == sorted(kinds, reverse=True)
        await pilot.press("S")
        files = [row.entry.size for row in tree.rows[1:] if not row.entry.is_directory]
        assert files == sorted(files, reverse=True)

    drive(make_app(wim), scenario)


def test_an_image_that_cannot_be_read_is_explained(wim: Path, home: Path) -> None:
    app = make_app()

    async def scenario(pilot: Pilot[None]) -> None:
        from wimtui import messages

        app.post_message(messages.ShowImage(str(home / "missing.wim"), 1))
        await until_shown(pilot, "This image cannot be shown")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), "home again")

    drive(app, scenario)


class Opened:
    """Stands for the user's pager and editor, and keeps what they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[tuple[str, str, bytes, bool]] = []
        monkeypatch.setattr(WimtuiApp, "suspend", lambda _: nullcontext())
        monkeypatch.setattr(shell, "open_in_pager", partial(self._take, "pager"))
        monkeypatch.setattr(shell, "open_in_editor", partial(self._take, "editor"))

    def _take(self, program: str, path: str) -> int:
        can_write = bool(Path(path).stat().st_mode & 0o222)
        self.files.append((program, path, Path(path).read_bytes(), can_write))
        return 0


def stored(wim: Path, path: str) -> bytes:
    """A file of image 2."""
    with open_image(str(wim), "2") as image:
        return b"".join(image.read(path))


def test_a_copy_is_opened_in_the_pager_and_removed(
    wim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(monkeypatch)
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await browse(pilot)
        # The cursor is on a folder.
        await pilot.press("v", "E")
        await go_to(pilot, "hosts")
        await pilot.press("v")
        await until(pilot, lambda: len(opened.files) == 1, "it is opened")
        await pilot.press("E")
        await until(pilot, lambda: len(opened.files) == 2, "it is opened again")

    drive(app, scenario)
    data = stored(wim, "/Windows/System32/drivers/etc/hosts")
    assert [(one[0], one[2], one[3]) for one in opened.files] == [
        ("pager", data, False), ("editor", data, False),
    ]  # fmt: skip
    for _, path, _, _ in opened.files:
        assert Path(path).name == "hosts"
        assert not os.path.lexists(Path(path).parent)


@pytest.mark.fuse
@pytest.mark.mqueue
def test_a_file_of_a_mount_is_opened_there(
    wim: Path, mounter: Mounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(monkeypatch)
    point = mounter.mount(wim, 2)
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: str(point) in [one.mount_point for one in app.mounts])
        await browse(pilot)
        await go_to(pilot, "hosts")
        await pilot.press("E")
        await until(pilot, lambda: len(opened.files) == 1, "it is opened")

    drive(app, scenario)
    (file,) = opened.files
    assert file[:2] == ("editor", f"{point}/Windows/System32/drivers/etc/hosts")
    assert os.path.lexists(file[1])


@pytest.mark.fuse
@pytest.mark.mqueue
def test_a_readonly_app_edits_no_file_of_a_mount(
    wim: Path, mounter: Mounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(monkeypatch)
    point = mounter.mount(wim, 2, read_write=True)
    app = make_app(wim, readonly=True)

    async def scenario(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: str(point) in [one.mount_point for one in app.mounts])
        await browse(pilot)
        await go_to(pilot, "hosts")
        await pilot.press("E")
        await until(pilot, lambda: len(opened.files) == 1, "it is opened")

    drive(app, scenario)
    assert not opened.files[0][1].startswith(f"{point}/")
