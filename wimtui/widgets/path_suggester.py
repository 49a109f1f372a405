"""Completion of paths as they are typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.suggester import Suggester

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class PathSuggester(Suggester):
    """Offers the first entry of a folder that goes on as typed."""

    def __init__(self, list_folder: Callable[[str], Awaitable[list[str]]]) -> None:
        """Take what lists a folder: names, those of folders with a slash at the end."""
        super().__init__(use_cache=False, case_sensitive=True)
        self._list_folder = list_folder
        self._folder: str | None = None
        self._names: list[str] = []

    async def get_suggestion(self, value: str) -> str | None:
        """Return the path that the typed one may become."""
        folder, slash, start = value.rpartition("/")
        if not start or "\0" in value:
            return None
        if folder + slash != self._folder:
            self._names = await self._list_folder(folder + slash)
            self._folder = folder + slash
        for name in self._names:
            if name.startswith(start) and name != start:
                return folder + slash + name
        return None
