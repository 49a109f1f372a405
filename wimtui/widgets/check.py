"""A checkbox that shows by its sign alone whether it is set, with or without colours."""

from __future__ import annotations

from textual.widgets import Checkbox


class Check(Checkbox):
    """``✓`` for yes, a dot for no."""

    BUTTON_INNER = "·"

    def watch_value(self) -> None:
        """Change the sign."""
        self.BUTTON_INNER = "✓" if self.value else "·"
        super().watch_value()
