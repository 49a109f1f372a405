"""The top line of every screen: where one is, and what goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.widgets import Static

from wimtui.widgets.cells import plain

if TYPE_CHECKING:
    from textual.app import ComposeResult


class TitleBar(Horizontal):
    """``wimtui > place`` on the left, notes on the right."""

    def __init__(self, place: str, *, note: str = "") -> None:
        super().__init__()
        self._place = Static(plain(place), id="place", markup=False)
        self._jobs = Static("", id="jobs", markup=False)
        self._note = note

    def compose(self) -> ComposeResult:
        """Lay out both ends."""
        yield Static(" wimtui ", id="brand", markup=False)
        yield self._place
        yield self._jobs
        yield Static(self._note, id="note", markup=False)

    def set_place(self, place: str) -> None:
        """Say where one is."""
        self._place.update(plain(place))

    def set_jobs(self, count: int) -> None:
        """Say how many jobs run."""
        self._jobs.update(
            "" if not count else "1 job running" if count == 1 else f"{count} jobs running"
        )
