"""The hints at the bottom of a screen: which keys do what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Footer
from textual.widgets._footer import FooterKey

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import ActiveBinding
    from textual.screen import Screen

    Hint = tuple[str, str, bool]


class KeyHints(Footer):
    """Textual's footer, made anew only where a hint has changed.

    Screens ask for new hints whenever the cursor moves, up to 30 times while one opens, and a dozen
    widgets take 10 ms to make; those of Textual twice that, as each gets its looks two times.
    """

    def __init__(self) -> None:
        super().__init__(compact=True)
        self._hints: tuple[Hint, ...] = ()

    def _active(self) -> dict[str, ActiveBinding]:
        """Return what is shown, by action; the first key of an action stands for it."""
        found: dict[str, ActiveBinding] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show:
                found.setdefault(active.binding.action, active)
        palette = self.screen.active_bindings.get(self.app.COMMAND_PALETTE_BINDING)
        if palette is not None:
            found.setdefault(palette.binding.action, palette)
        return found

    def compose(self) -> ComposeResult:
        """A widget for each hint; that of the palette at the right."""
        if not self._bindings_ready:
            return
        for active in self._active().values():
            binding = active.binding
            is_palette = binding.key == self.app.COMMAND_PALETTE_BINDING
            yield FooterKey(
                binding.key,
                self.app.get_key_display(binding),
                binding.description,
                binding.action,
                disabled=not active.enabled,
                tooltip=binding.tooltip or active.tooltip,
                classes="-command-palette -compact" if is_palette else "-compact",
            )

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Make the hints anew if they are others."""
        if not (screen.app.app_focus and self.is_attached and screen is self.screen):
            return
        hints = tuple(
            (active.binding.key, active.binding.description, active.enabled)
            for active in self._active().values()
        )
        if hints != self._hints:
            self._hints = hints
            super().bindings_changed(screen)
