"""Every text of every screen can be read in each of the app's own themes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.color import Color
from textual.screen import ModalScreen
from textual.widgets._footer import FooterKey

from tests.tui import test_commit_looks, test_snapshots, test_upkeep_looks
from tests.tui.driving import drive
from tests.tui.frozen import FrozenServices
from wimtui.app import WimtuiApp
from wimtui.settings import Settings
from wimtui.themes import THEMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from rich.segment import Segment
    from textual.geometry import Region
    from textual.pilot import Pilot

    Play = Callable[[Pilot[None]], Awaitable[None]]

LEAST = 4.5
"""What the Web Content Accessibility Guidelines ask of text (AA); 3 of what cannot be done."""

LEAST_DISABLED = 3.0
DRAWN = set("─│╭╮╰╯▁▂▃▄▅▆▇█▌▐▍▏▔▊▎┃━╸╺├└▾▸▼▲ ")
"""Lines, bars and marks that are no text."""

SERVICES_OF_PLAYS: list[tuple[type[FrozenServices], Play]] = [
    (FrozenServices, test_snapshots.wim_filter),
    (FrozenServices, test_snapshots.browse_facts),
    (FrozenServices, test_snapshots.staging_screen),
    (FrozenServices, test_snapshots.jobs_dialog),
    (FrozenServices, test_snapshots.help_dialog),
    (FrozenServices, test_snapshots.palette),
    (FrozenServices, test_snapshots.error_toast),
    (FrozenServices, test_upkeep_looks.mount_read_write),
    (FrozenServices, test_upkeep_looks.edit_image),
    (test_upkeep_looks.AllStates, test_upkeep_looks.all_states),
    (test_upkeep_looks.Troubled, test_upkeep_looks.recover),
    (test_commit_looks.Dirty, test_commit_looks.new_image),
    (test_commit_looks.Dirty, test_commit_looks.discard_much),
]


def colours(segment: Segment) -> tuple[Color, Color] | None:
    """Return what a piece of text is written with and on."""
    style = segment.style
    if style is None or style.color is None or style.bgcolor is None:
        return None
    written, below = style.color.triplet, style.bgcolor.triplet
    if written is None or below is None:
        return None
    text, ground = Color(*written), Color(*below)
    return (ground, text) if style.reverse else (text, ground)


def contrast(one: Color, other: Color) -> float:
    """Return the ratio of two colours, 1 to 21, as the guidelines reckon it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: Color) -> float:
    linear = [
        share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4
        for share in color.normalized
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def part_on_top(pilot: Pilot[None]) -> Region:
    """Return where the dialog is, or the whole screen."""
    screen = pilot.app.screen
    if not isinstance(screen, ModalScreen):
        return screen.region
    panel = screen.query(".dialog, #--container").first()
    return panel.region


def disabled_parts(pilot: Pilot[None]) -> list[Region]:
    return [
        one.region
        for one in pilot.app.screen.query("*")
        if one.disabled or (isinstance(one, FooterKey) and one.has_class("-disabled"))
    ]


def faint_texts(pilot: Pilot[None]) -> Iterator[str]:
    """Yield the texts on top that are hard to read."""
    app = pilot.app
    shown, disabled = part_on_top(pilot), disabled_parts(pilot)
    for y, strip in enumerate(app.screen._compositor.render_strips(app.size)[: app.size.height]):
        x = 0
        for segment in strip:
            start, x = x, x + segment.cell_length
            found = colours(segment)
            is_drawn = set(segment.text) <= DRAWN
            if is_drawn or found is None or not shown.contains(start, y):
                continue
            text, ground = found
            ratio = contrast(text, ground)
            least = LEAST_DISABLED if any(one.contains(start, y) for one in disabled) else LEAST
            if ratio < least:
                yield (
                    f"{app.theme}: {ratio:.2f} {text.hex} on {ground.hex} "
                    f"at {start},{y}: {segment.text.strip()!r}"
                )


@pytest.mark.parametrize(
    ("services", "play"), SERVICES_OF_PLAYS, ids=[play.__name__ for _, play in SERVICES_OF_PLAYS]
)
def test_every_text_can_be_read(home: Path, services: type[FrozenServices], play: Play) -> None:
    app = WimtuiApp(services=services(), user_settings=Settings())
    faint: list[str] = []

    async def scenario(pilot: Pilot[None]) -> None:
        await play(pilot)
        for theme in THEMES:
            app.theme = theme.name
            await pilot.pause()
            await pilot.pause()
            faint.extend(faint_texts(pilot))

    drive(app, scenario)
    assert not faint, "\n".join(faint)
