"""What all screens of the app have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.screen import ModalScreen, Screen

from wimtui.widgets.key_hints import KeyHints
from wimtui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.message import Message

    from wimtui.bridge import Bridge
    from wimtui.service.mounts import MountSummary

_HEARD_FROM = ("wimtui.", "textual.widgets.")
WIDE = 100
"""Columns from which panels stand side by side."""

if TYPE_CHECKING:
    _ScreenLike = Screen[Any]
else:
    # Textual inherits style rules and key bindings from one base alone, which has to be a screen.
    _ScreenLike = object


class _Attentive(_ScreenLike):
    """A screen that hears no answers once its widgets are being taken down."""

    async def _on_message(self, message: Message) -> None:
        # Textual removes the widgets first, and still delivers what is queued for the screen.
        # Its own internal messages have to come through.
        is_answer = type(message).__module__.startswith(_HEARD_FROM)
        if is_answer and not (self.display and self.app.is_running):
            self.missed(message)
        else:
            await super()._on_message(message)

    def missed(self, message: Message) -> None:
        """React to an answer that came too late."""


class WimtuiScreen(_Attentive, Screen[None]):
    """A full screen: title bar, content, key hints."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012 - Textual's own
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012
    AUTO_FOCUS: ClassVar[str | None] = None
    CHANGING: ClassVar[frozenset[str]] = frozenset()
    """Actions that are not to be had with --readonly."""

    def __init__(self, bridge: Bridge, place: str, *, readonly: bool = False) -> None:
        super().__init__()
        self.bridge = bridge
        self.readonly = readonly
        self._place = place

    def compose(self) -> ComposeResult:
        """Title bar and footer around the content."""
        yield TitleBar(self._place, note="read-only" if self.readonly else "")
        yield from self.compose_content()
        yield KeyHints()

    def compose_content(self) -> ComposeResult:
        """Lay out what is between title bar and footer."""
        raise NotImplementedError

    def set_place(self, place: str) -> None:
        """Say in the title bar where one is."""
        self.query_one(TitleBar).set_place(place)

    def show_mounts(self, mounts: Sequence[MountSummary]) -> None:
        """Take in the latest list of mounts."""

    def job_ended(self) -> None:
        """A long operation is over."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what --readonly forbids."""
        if self.readonly and action in self.CHANGING:
            return None
        return super().check_action(action, parameters)


class InnerScreen(WimtuiScreen):
    """A screen that one leaves for the one before."""

    BINDINGS: ClassVar = [
        Binding("escape,backspace,q", "back", "Back", tooltip="Leave this screen", id="back"),
    ]

    def action_back(self) -> None:
        """Go back to the screen before."""
        self.app.pop_screen()


class Dialog(_Attentive, ModalScreen[object]):
    """A panel over the screen."""

    BINDINGS: ClassVar = [Binding("escape", "close", "Close", tooltip="Close the dialog")]

    def action_close(self) -> None:
        """Close without a result."""
        self.dismiss(None)
