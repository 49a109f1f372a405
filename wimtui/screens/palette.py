"""The command palette: every action that the screen and the app have at this moment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.binding import ActiveBinding
    from textual.command import Hits


class ActionsProvider(Provider):
    """Offers what has a key, with the key, so that the palette teaches it."""

    def _actions(self) -> Iterator[tuple[str, str, ActiveBinding]]:
        seen = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            # Moving about, and what Textual brings along, has no tooltip.
            if binding.system or not binding.tooltip or not active.enabled:
                continue
            if binding.action in seen:
                continue
            seen.add(binding.action)
            key = self.app.get_key_display(binding)
            text = binding.tooltip
            yield f"{binding.description}  ({key})", text, active

    def _run(self, active: ActiveBinding) -> object:
        return self.app.run_action(active.binding.action, active.node)

    async def discover(self) -> Hits:
        """Offer all."""
        for name, text, active in self._actions():
            yield DiscoveryHit(name, partial(self._run, active), help=text)

    async def search(self, query: str) -> Hits:
        """Offer what matches."""
        matcher = self.matcher(query)
        for name, text, active in self._actions():
            score = max(matcher.match(name), matcher.match(text) * 0.8)
            if score > 0:
                yield Hit(score, matcher.highlight(name), partial(self._run, active), help=text)
