"""The staging screen on real mounts: live, compared, restored, exported, and after the daemon."""

from __future__ import annotations

import os
import shutil
import tarfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from tests.tui.driving import drive, make_app, mount_at, screen_text, until, until_shown
from tests.tui.writable import Writable
from wimtui import messages, staging_messages
from wimtui.jobs import JobState
from wimtui.screens.commit import CommitDialog
from wimtui.screens.confirm import ConfirmDialog
from wimtui.screens.home import HomeScreen
from wimtui.screens.staging import StagingScreen
from wimtui.widgets.change_table import ChangeTable
from wimtui.widgets.change_view import ChangeView
from wimtui.widgets.mount_table import MountTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.message import Message
    from textual.pilot import Pilot

    from tests.tui.driving import Mounter
    from wimtui.app import WimtuiApp

pytestmark = pytest.mark.fuse


@pytest.fixture
def writable(mounter: Mounter, wim: Path) -> Iterator[Writable]:
    made = Writable(mounter, wim)
    yield made
    made.end()


async def show(pilot: Pilot[None], point: Path) -> ChangeTable:
    """Open the staging screen of a mount."""
    app: WimtuiApp = pilot.app  # type: ignore[assignment]
    await until(pilot, lambda: any(one.mount_point == str(point) for one in app.mounts), "listed")
    app.post_message(staging_messages.ShowStaging(mount_at(app, point)))
    await until(pilot, lambda: isinstance(app.screen, StagingScreen), "the screen")
    table = app.screen.query_one(ChangeTable)
    await until(pilot, lambda: "Reading" not in table.hint or table.rows, "the list is read")
    return table


def paths(table: ChangeTable) -> list[str]:
    return [row.path for row in table.rows]


async def go_to(pilot: Pilot[None], table: ChangeTable, path: str) -> ChangeView:
    """Put the cursor on a path and wait for its comparison."""
    await until(pilot, lambda: table.move_to(path), f"{path} is shown")
    view = pilot.app.screen.query_one(ChangeView)
    await until(pilot, lambda: view.border_subtitle == path, f"{path} is compared")
    return view


def test_what_a_program_does_is_seen_and_the_cursor_stays(writable: Writable) -> None:
    writable.write("middle.txt", b"one\n")

    async def scenario(pilot: Pilot[None]) -> None:
        table = await show(pilot, writable.path)
        await until(pilot, lambda: paths(table) == ["/middle.txt"], "the first change")
        view = await go_to(pilot, table, "/middle.txt")
        began = time.perf_counter()
        writable.write("above.txt", b"x" * 5000)
        await until(pilot, lambda: paths(table) == ["/above.txt", "/middle.txt"], "the next")
        print(f"a change was on screen after {time.perf_counter() - began:.2f} s")
        assert table.current is not None
        assert table.current.path == "/middle.txt"
        writable.write("middle.txt", b"one\ntwo\n")
        await until(pilot, lambda: "+two" in view.text, "the diff follows")
        os.truncate(writable.path / "middle.txt", 0)
        await until(pilot, lambda: "+two" not in view.text, "and again")
        (writable.path / "license.rtf").unlink()
        (writable.path / "above.txt").rename(writable.path / "ordered.txt")
        wanted = ["/license.rtf", "/middle.txt", "/ordered.txt"]
        await until(pilot, lambda: paths(table) == wanted, "all others")
        await until_shown(pilot, "2 added, 1 deleted")
        assert table.current.path == "/middle.txt"

    drive(make_app(), scenario)


def test_diffs_of_texts_bytes_streams_and_folders(writable: Writable) -> None:
    root = writable.path
    with (root / "license.rtf").open("ab") as file:
        file.write(b"appended\n")
    (root / "wide.txt").write_bytes("breit ä\r\n".encode("utf-16"))
    with (root / "setup.exe").open("r+b") as program:
        program.seek(20_000)
        program.write(b"patched")
    os.setxattr(root / "setup.exe", "user.zone", b"stream\n")
    (root / "folder").mkdir()
    (root / "folder" / "a[red]b.txt").write_text("x\n")
    (root / "Users").rename(root / "People")

    async def scenario(pilot: Pilot[None]) -> None:
        table = await show(pilot, root)
        view = await go_to(pilot, table, "/license.rtf")
        await until(pilot, lambda: "+appended" in view.text, "lines")
        view = await go_to(pilot, table, "/wide.txt")
        await until(pilot, lambda: "UTF-16-LE" in view.text and "+breit ä" in view.text, "wide")
        view = await go_to(pilot, table, "/setup.exe")
        await until(pilot, lambda: "offset 20,000" in view.text, "bytes")
        assert "patched" in view.text
        assert "stream zone" in view.text
        assert "+stream" in view.text
        await until_shown(pilot, "zone: 7 bytes, added")
        assert table.move_to("/folder")
        await until(pilot, lambda: "a[red]b.txt" in view.text, "what is below")
        assert table.move_to("/People")
        await until_shown(pilot, "Users/ → People/")
        await pilot.press("slash", *"wide")
        await until(pilot, lambda: paths(table) == ["/wide.txt"], "filtered")
        await pilot.press("escape")
        await until(pilot, lambda: len(table.rows) == 6, "all again")

    drive(make_app(), scenario, size=(150, 48))


def test_restoring_asks_and_then_undoes(writable: Writable) -> None:
    root = writable.path
    (root / "folder").mkdir()
    for name in ("one", "two"):
        (root / "folder" / name).write_text(name)
    (root / "license.rtf").unlink()

    async def scenario(pilot: Pilot[None]) -> None:
        app = pilot.app
        table = await show(pilot, root)
        await go_to(pilot, table, "/license.rtf")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog), "asked")
        await pilot.press("escape")
        assert not (root / "license.rtf").exists()
        await pilot.press("r")
        await until_shown(pilot, "comes back as the image has it")
        await pilot.press("y")
        await until(pilot, lambda: "/license.rtf" not in paths(table), "restored")
        assert (root / "license.rtf").exists()
        await until(pilot, lambda: table.move_to("/folder"))
        await pilot.press("r")
        await until_shown(pilot, "All 3 changes at /folder")
        await pilot.press("y")
        await until_shown(pilot, "Nothing has changed.")
        assert not (root / "folder").exists()

    drive(make_app(), scenario)


def test_changes_are_exported_as_a_job(writable: Writable, home: Path) -> None:
    (writable.path / "folder").mkdir()
    (writable.path / "folder" / "one").write_text("1")
    writable.write("two", b"2")
    app = make_app()

    async def scenario(pilot: Pilot[None]) -> None:
        table = await show(pilot, writable.path)
        for path, output in (("/folder/one", "some.tar.gz"), ("/two", "all.tar")):
            await until(pilot, lambda path=path: table.move_to(path), path)  # type: ignore[misc]
            await pilot.press("e")
            await until_shown(pilot, "Export changes")
            app.screen.query_one("#output", Input).value = str(home / output)
            await pilot.press("enter")
            await until_shown(pilot, f"Export changes to {home / output}")
            await until(pilot, lambda: app.bridge.jobs.jobs and not app.bridge.jobs.running)
            assert app.bridge.jobs.jobs[-1].state is JobState.DONE, app.bridge.jobs.jobs[-1]
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, StagingScreen), "back")

    drive(app, scenario)
    with tarfile.open(home / "some.tar.gz") as tar:
        assert tar.getnames() == [".wimtui-changes", "folder", "folder/one"]
    with tarfile.open(home / "all.tar") as tar:
        assert tar.getnames() == [".wimtui-changes", "folder", "folder/one", "two"]


def test_files_are_opened_in_the_users_programs(
    writable: Writable, monkeypatch: pytest.MonkeyPatch
) -> None:
    writable.write("new.txt", b"new\n")
    old = (writable.path / "license.rtf").read_bytes()
    (writable.path / "license.rtf").unlink()
    app = make_app()
    opened: list[tuple[str, bool, bytes]] = []

    def open_file(path: str, *, editor: bool) -> int:
        opened.append((path, editor, Path(path).read_bytes()))
        return 0

    monkeypatch.setattr(app.bridge.services, "open_file", open_file)
    monkeypatch.setattr(app, "suspend", nullcontext)

    async def scenario(pilot: Pilot[None]) -> None:
        table = await show(pilot, writable.path)
        point = str(writable.path / "new.txt")
        await until(pilot, lambda: table.move_to("/new.txt"))
        await pilot.press("v", "E")
        await until(pilot, lambda: len(opened) == 2, "both")
        assert opened == [(point, False, b"new\n"), (point, True, b"new\n")]
        await until(pilot, lambda: table.move_to("/license.rtf"))
        await pilot.press("E", "v")
        await until(pilot, lambda: len(opened) == 3, "the deleted one")
        path, editor, data = opened[2]
        assert (Path(path).name, editor, data) == ("license.rtf", False, old)
        await until(pilot, lambda: not Path(path).exists(), "the copy is gone")

    drive(app, scenario)


def test_what_is_left_is_shown_as_before(writable: Writable) -> None:
    writable.write("new.txt", b"new\n")

    async def scenario(pilot: Pilot[None]) -> None:
        table = await show(pilot, writable.path)
        await go_to(pilot, table, "/new.txt")
        writable.keep()
        await until_shown(pilot, "not mounted")
        assert paths(table) == ["/new.txt"]
        view = pilot.app.screen.query_one(ChangeView)
        await until(pilot, lambda: "+new" in view.text, "compared without a daemon")
        actions = pilot.app.screen
        assert isinstance(actions, StagingScreen)
        await until(pilot, lambda: not actions.mount_summary.alive, "the list says so too")
        allowed = [name for name in ("shell", "edit", "view", "restore", "export", "commit")
                   if actions.check_action(name, ())]  # fmt: skip
        assert allowed == ["view", "restore", "export", "commit"]
        await pilot.press("r")
        await until_shown(pilot, "removed for good")
        await pilot.press("y")
        await until_shown(pilot, "Nothing has changed.")
        for staging in writable.stagings():
            shutil.rmtree(staging)
        await until_shown(pilot, "This mount has ended")

    drive(make_app(), scenario)


def test_keys_lead_there_and_on_to_commits_and_ends(
    writable: Writable, monkeypatch: pytest.MonkeyPatch
) -> None:
    writable.write("new.txt", b"new\n")
    app = make_app()
    heard: list[Message] = []

    async def scenario(pilot: Pilot[None]) -> None:
        table = app.screen.query_one(MountTable)

        def is_there() -> bool:
            rows = [row for row in table.rows if row.summary.mount_point == str(writable.path)]
            return bool(rows) and table.move_to(rows[0].key)

        await until(pilot, is_there, "listed")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, StagingScreen), "staging")
        await until_shown(pilot, "new.txt")
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CommitDialog), "the commit dialog")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, StagingScreen), "back")
        screen = app.screen
        with monkeypatch.context() as patch:
            patch.setattr(screen, "post_message", heard.append)
            await screen.run_action("unmount")
            await screen.run_action("shell")
            await screen.run_action("copy_path")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), "home")

    drive(app, scenario)
    assert [type(message) for message in heard] == [
        messages.EndMount, messages.OpenShell, messages.CopyText,
    ]  # fmt: skip
    assert heard[2].text == str(writable.path / "new.txt")  # type: ignore[attr-defined]


def test_readonly_looks_and_changes_nothing(writable: Writable) -> None:
    writable.write("new.txt", b"new\n")
    app = make_app(readonly=True)

    async def scenario(pilot: Pilot[None]) -> None:
        table = await show(pilot, writable.path)
        await go_to(pilot, table, "/new.txt")
        for key in ("r", "e", "E", "c", "u"):
            await pilot.press(key)
            assert isinstance(app.screen, StagingScreen), key
        assert "+new" in screen_text(pilot)

    drive(app, scenario)
    assert (writable.path / "new.txt").exists()


def test_a_read_only_mount_says_that_nothing_is_staged(wim: Path, mounter: Mounter) -> None:
    point = mounter.mount(wim, 1)

    async def scenario(pilot: Pilot[None]) -> None:
        await show(pilot, point)
        await until_shown(pilot, "nothing is staged")

    drive(make_app(), scenario)
