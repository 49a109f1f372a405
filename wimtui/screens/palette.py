"""The command palette: every action that the screen and the app have at this moment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.binding import ActiveBinding, Binding
    from textual.command import Hits


_SUBJECTS = {
    "home": "Home", "wim": "WIM", "browse": "Browse", "staging": "Changes", "recover": "Recover",
    "log": "Log",
}  # fmt: skip
"""What comes before an action's name, by the first part of its binding's id."""

_ELSE = "wimtui"


class ActionsProvider(Provider):
    """Offers what has a key, with the key, so that the palette teaches it.

    Names begin with the screen that an action belongs to; what every screen has comes last.
    """

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
            name = f"{_subject(binding)}: {binding.description}  ({key})"
            yield name, binding.tooltip, active

    def _run(self, active: ActiveBinding) -> object:
        return self.app.run_action(active.binding.action, active.node)

    async def discover(self) -> Hits:
        """Offer all."""
        # Sorting keeps the order of the keys within each.
        found = sorted(self._actions(), key=lambda one: _subject(one[2].binding) == _ELSE)
        for name, text, active in found:
            yield DiscoveryHit(name, partial(self._run, active), help=text)

    async def search(self, query: str) -> Hits:
        """Offer what matches."""
        matcher = self.matcher(query)
        for name, text, active in self._actions():
            score = max(matcher.match(name), matcher.match(text) * 0.8)
            if score > 0:
                yield Hit(score, matcher.highlight(name), partial(self._run, active), help=text)


def _subject(binding: Binding) -> str:
    name, dot, _ = (binding.id or "").partition(".")
    return _SUBJECTS.get(name, _ELSE) if dot else _ELSE
