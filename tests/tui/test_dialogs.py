"""Help, palette, settings, logs, open and confirm; and keys of the user's own."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from textual.widgets import Input, Select

from tests.tui.driving import drive, make_app, screen_text, type_text, until, until_shown
from wimtui import settings
from wimtui.app import WimtuiApp, pasted_path
from wimtui.screens.archive import ArchiveScreen
from wimtui.screens.confirm import ConfirmDialog
from wimtui.screens.home import HomeScreen
from wimtui.screens.log import LogScreen
from wimtui.screens.palette import ActionsProvider
from wimtui.screens.settings import SettingsDialog
from wimtui.service.frontend import Services
from wimtui.settings import Settings
from wimtui.widgets.key_table import KeyTable
from wimtui.widgets.text_view import TextView

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from wimtui.service import mounts


def test_help_lists_and_filters_the_keys(home: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await until_shown(pilot, "type to filter")
        table = pilot.app.screen.query_one(KeyTable)
        assert {"Mount", "Unmount", "Quit", "Help", "Settings"} <= {row.name for row in table.rows}
        await type_text(pilot, "dead")
        await until(pilot, lambda: [row.name for row in table.rows] == ["Unmount"], "filtered")
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, HomeScreen)

    drive(make_app(), scenario)


def test_the_palette_runs_an_action(home: Path) -> None:
    async def scenario(pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+p")
        await until_shown(pilot, "Search for commands")
        await type_text(pilot, "settings")
        await until_shown(pilot, "Theme and defaults")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsDialog), "it ran")

    drive(make_app(), scenario)


def test_the_palette_names_what_an_action_belongs_to(wim: Path) -> None:
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Index")
        provider = ActionsProvider(app.screen)
        hits = [str(hit.prompt) async for hit in provider.discover()]
        subjects = [hit.partition(":")[0] for hit in hits]
        assert list(dict.fromkeys(subjects)) == ["WIM", "wimtui"]
        assert "WIM: Verify  (v)" in hits
        assert "wimtui: Settings  (,)" in hits

    drive(app, scenario)


def test_q_goes_back_and_from_home_out(wim: Path) -> None:
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Index")
        await pilot.press("slash", "q")
        assert app.screen.query_one("#filter", Input).value == "q"
        await pilot.press("escape", "q")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), "home")
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running, "out")

    drive(app, scenario)


def test_settings_are_tried_saved_and_read_again(home: Path) -> None:
    app = make_app()

    async def scenario(pilot: Pilot[None]) -> None:
        await pilot.press("comma")
        await until_shown(pilot, "config.toml")
        pilot.app.screen.query_one("#theme", Select).value = "wimtui-light"
        await until(pilot, lambda: app.theme == "wimtui-light", "tried at once")
        pilot.app.screen.query_one("#streams", Select).value = "windows"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Settings saved")

    drive(app, scenario)
    assert tomllib.loads(settings.settings_path().read_text())["theme"] == "wimtui-light"
    again = WimtuiApp()
    assert (again.settings.theme, again.settings.streams) == ("wimtui-light", "windows")


def test_cancelled_settings_leave_the_theme(home: Path) -> None:
    app = make_app()

    async def scenario(pilot: Pilot[None]) -> None:
        await pilot.press("comma")
        await until_shown(pilot, "config.toml")
        pilot.app.screen.query_one("#theme", Select).value = "wimtui-contrast"
        await until(pilot, lambda: app.theme == "wimtui-contrast")
        await pilot.press("escape")
        await until(pilot, lambda: app.theme == "wimtui-dark", "as before")

    drive(app, scenario)
    assert not settings.settings_path().exists()


def test_every_theme_of_textual_has_all_colours(home: Path) -> None:
    app = make_app()

    async def scenario(pilot: Pilot[None]) -> None:
        for name in sorted(app.available_themes):
            app.theme = name
            await pilot.pause()
            assert app.get_css_variables()["row-cursor"]

    drive(app, scenario, size=(80, 24))


def test_settings_round_trip_and_forgive() -> None:
    chosen = Settings(theme="x", streams="none", check=True, keys={"home.mount": "f5"})
    assert settings.parse(tomllib.loads(settings.dump(chosen))) == chosen
    assert settings.parse({"theme": 5, "streams": "odd", "unknown": 1}) == Settings()


def test_keys_of_the_users_own(home: Path, wim: Path) -> None:
    app = WimtuiApp([str(wim)], user_settings=Settings(keys={"wim.browse": "f6"}))

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Index")
        await pilot.press("f6")
        await until_shown(pilot, "Windows/")

    drive(app, scenario)


def test_open_by_path_and_from_the_tree(wim: Path) -> None:
    app = make_app(wim)

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Index")
        await pilot.press("escape", "o")
        await until_shown(pilot, "Open a WIM")
        await until_shown(pilot, "sample.wim")
        assert "state" in screen_text(pilot)
        box = app.screen.query_one("#path", Input)
        box.value = str(wim.parent / "nothing.wim")
        await pilot.press("enter")
        await until_shown(pilot, "no such file")
        box.value = str(wim)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ArchiveScreen), "open")
        await until_shown(pilot, "Windows Sample")

    drive(app, scenario)


def test_the_log_follows_a_file(home: Path) -> None:
    folder = home / "state" / "wimtui" / "logs"
    folder.mkdir(parents=True)
    log = folder / "app.log"
    log.write_text("2026-01-01 1 INFO wimtui: first\n2026-01-01 1 ERROR wimtui: \x1b[2Jsecond\n")

    async def scenario(pilot: Pilot[None]) -> None:
        await pilot.press("L")
        await until(pilot, lambda: isinstance(pilot.app.screen, LogScreen))
        await until_shown(pilot, "second")
        with log.open("a") as file:
            file.write("2026-01-01 1 INFO wimtui: third\n")
        await until_shown(pilot, "third")
        view = pilot.app.screen.query_one(TextView)
        assert "\x1b" not in view.text
        await pilot.press("w")
        await until(pilot, lambda: "first" not in view.text and "second" in view.text)

    drive(make_app(), scenario)


def test_confirm_takes_no_for_an_answer_by_default(home: Path) -> None:
    answers: list[object] = []

    async def scenario(pilot: Pilot[None]) -> None:
        for keys in (["enter"], ["escape"], ["n"], ["y"], ["shift+tab", "enter"]):
            pilot.app.push_screen(ConfirmDialog("Lose it?", "3 files", verb="Lose"), answers.append)
            await until_shown(pilot, "3 files")
            await pilot.press(*keys)
            await pilot.pause()

    drive(make_app(), scenario)
    assert answers == [None, None, None, True, True]


def test_pasted_paths(wim: Path) -> None:
    spaced = wim.with_name("a b.wim")
    wim.rename(spaced)
    quoted = str(spaced).replace(" ", "%20")
    for text in (str(spaced), f"'{spaced}'", f"file://{quoted}\n", str(spaced).replace(" ", "\\ ")):
        assert pasted_path(text) == str(spaced)
    for text in ("", "x.wim", "/etc/passwd", "'unclosed", f"{spaced}\n{spaced}x"):
        assert pasted_path(text) == ""


def test_a_list_that_fails_every_second_is_complained_of_once(home: Path) -> None:
    class Broken(Services):
        def list_mounts(self) -> tuple[mounts.MountSummary, ...]:
            raise OSError(5, "Input/output error", "/run/wimtui")

    app = WimtuiApp(services=Broken(), user_settings=Settings())

    async def scenario(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Input/output error")
        for _ in range(5):
            app.bridge.mounts.poll(app)
            await until(pilot, lambda: app.bridge.is_idle)
        await pilot.pause()
        assert len(app._notifications) == 1

    drive(app, scenario)
