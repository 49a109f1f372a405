"""Every action of the app has its command in docs/ACTIONS.md, and its place in the palette."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
from typing import TYPE_CHECKING

import pytest
from textual.binding import Binding

import wimtui.screens
from tests.tui.driving import ROOT, drive, until
from tests.tui.frozen import MOUNTS, WIM, FrozenServices
from wimtui import messages, staging_messages, upkeep_messages
from wimtui.app import WimtuiApp
from wimtui.cli.parser import COMMANDS, build_parser
from wimtui.screens.commit_ways import Way
from wimtui.screens.palette import ActionsProvider
from wimtui.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from textual.message import Message
    from textual.pilot import Pilot

TABLE = (ROOT / "docs" / "ACTIONS.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([^`]+)` \|[^|]*\| [^|]+ \| (.+) \|$", re.MULTILINE)
COMMAND = re.compile(r"`([^`]*)`")
PLACEHOLDERS = {"COMMAND"}
"""They stand for any command."""


def bound(owner: type) -> Iterator[Binding]:
    """Yield what a class binds itself; keys that only move about are not meant."""
    for binding in vars(owner).get("BINDINGS", ()):
        assert isinstance(binding, Binding)
        if not binding.system:
            yield binding


def owners() -> Iterator[type]:
    """Yield the app and all classes of its screens and dialogs."""
    yield WimtuiApp
    for module in pkgutil.iter_modules(wimtui.screens.__path__, "wimtui.screens."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and value.__module__ == module.name:
                yield value


def action_names() -> set[str]:
    names = {
        binding.id or f"{owner.__name__}.{binding.action}"
        for owner in owners()
        for binding in bound(owner)
    }
    return names | {f"Way.{way.value}" for way in Way}


def test_the_table_has_every_action_once() -> None:
    listed = [name for name, _ in ROW.findall(TABLE)]
    assert len(listed) == len(set(listed))
    assert set(listed) == action_names()


def test_every_action_says_what_to_type() -> None:
    for name, commands in ROW.findall(TABLE):
        told = COMMAND.search(commands) or re.search(r"none needed|no such list|ctrl\+|as above|"
                                                     r"the command shown", commands)  # fmt: skip
        assert told, name


def test_every_command_named_exists() -> None:
    named = {
        words.split()[1]
        for words in COMMAND.findall(TABLE)
        if words.startswith("wimtui ") and not words.split()[1].startswith("-")
    }
    assert named - PLACEHOLDERS <= set(COMMANDS)
    assert set(COMMANDS) <= named, "a command is missing"


def test_every_command_line_is_understood() -> None:
    parser = build_parser()
    lines = {words for words in COMMAND.findall(TABLE) if words.startswith("wimtui ")}
    lines |= set(re.findall(r"until (wimtui [^;]+);", TABLE))
    complete = [line for line in lines if re.search(r" [A-Z]", line) and "COMMAND" not in line]
    assert len(complete) > 30
    for line in complete:
        # Exits where it does not understand.
        parser.parse_args(shlex.split(line.replace("IMAGE", "1"))[1:])


SCREENS: dict[str, Callable[[], Message]] = {
    "wim": lambda: messages.ShowArchive(WIM),
    "browse": lambda: messages.ShowImage(WIM, 1),
    "staging": lambda: staging_messages.ShowStaging(MOUNTS[0]),
    "recover": upkeep_messages.ShowRecover,
}


@pytest.mark.parametrize("place", ["home", *SCREENS])
def test_the_palette_has_every_action_that_can_be_done(home: Path, place: str) -> None:
    app = WimtuiApp(services=FrozenServices(), user_settings=Settings())
    offered: list[str] = []
    wanted: list[str] = []

    async def scenario(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.mounts and app.bridge.is_idle, "mounts are listed")
        if place != "home":
            app.post_message(SCREENS[place]())
            await until(pilot, lambda: len(app.screen_stack) > 1, "the screen is shown")
            await until(pilot, lambda: app.bridge.is_idle, "it is filled")
            await pilot.pause()
        screen = app.screen
        hits = ActionsProvider(screen).discover()
        offered.extend([str(hit.help) async for hit in hits])
        for owner in (type(screen), WimtuiApp):
            node = screen if owner is not WimtuiApp else app
            for binding in bound(owner):
                name = binding.action.removeprefix("app.")
                asked = app if binding.action.startswith("app.") else node
                if asked.check_action(name, ()):
                    wanted.append(binding.tooltip)

    drive(app, scenario)
    assert len(wanted) >= 8
    assert set(wanted) <= set(offered)
