"""How the names in one directory differ from the base image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.engine.errors import NameEncodingError
from wimtui.engine.image.names import text_from_wtf8, upcase
from wimtui.engine.staging.edit import AS_BASE
from wimtui.engine.staging.node import Entry

if TYPE_CHECKING:
    from wimtui.engine.staging.edit import EntryChange
    from wimtui.engine.staging.node import NodeId


def folded(name: bytes) -> str:
    """Return a name as NTFS compares it when case does not matter; what is no UTF-8 stays."""
    try:
        return upcase(text_from_wtf8(name))
    except NameEncodingError:
        return name.decode("utf-8", "backslashreplace")


class DirectoryDelta:
    """The names of one directory that are not those of the base image."""

    __slots__ = ("entries", "listing", "spellings")

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry | None] = {}
        """None hides a name of the base image."""
        self.listing: list[tuple[bytes, NodeId]] | None = None
        """The merged names in collation order, until the next change."""
        self.spellings: dict[str, bytes] | None = None
        """Names in ``entries`` by what they are when case does not matter, once asked for."""

    def spelling(self, name: bytes) -> bytes | None:
        """Return how a name that differs in case only is spelled."""
        if self.spellings is None:
            self.spellings = {
                folded(known): known for known, entry in self.entries.items() if entry
            }
        return self.spellings.get(folded(name))

    def set(self, name: bytes, change: EntryChange) -> None:
        """Take a change over."""
        self.listing = None
        if change is AS_BASE:
            self.entries.pop(name, None)
        elif change is None or isinstance(change, Entry):
            self.entries[name] = change
        if self.spellings is not None:
            if isinstance(change, Entry):
                self.spellings[folded(name)] = name
            else:
                self.spellings = None
