"""Whether a link made under Linux points at a directory of its image, as Windows has to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.engine.errors import ReparseDataError
from wimtui.engine.image.attributes import is_plain_directory
from wimtui.engine.image.reparse import ReparseLink, ReparseTag

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.commit.snapshot import TreeSnapshot
    from wimtui.engine.image.metadata_writer import DentryNode

_MAX_LINKS = 40
"""Links followed on the way to one target, as Linux does."""


class DirectoryLinks:
    """Resolves relative targets inside a tree, whose directories it is told as they are met."""

    def __init__(self, tree: TreeSnapshot, read: Callable[[bytes], bytes | None]) -> None:
        """Look into ``tree``; ``read`` returns the reparse data behind a hash or token."""
        self._tree = tree
        self._read = read
        self._above: dict[int, tuple[DentryNode, DentryNode]] = {}
        """Directories, which are kept alive here, and their parents."""
        self._names: dict[int, dict[bytes, DentryNode]] = {}

    def note(self, directory: DentryNode, parent: DentryNode) -> None:
        """Remember where a directory lies."""
        self._above[id(directory)] = (directory, parent)

    def points_at_directory(self, link: DentryNode, parent: DentryNode) -> bool:
        """Return whether a symlink's relative target is a directory, other links followed."""
        way = [parent]
        while (above := self._above.get(id(way[-1]))) is not None:
            way.append(above[1])
        return self._resolve(link, way[::-1], _MAX_LINKS) is not None

    def _resolve(
        self, link: DentryNode, way: list[DentryNode], left: int
    ) -> list[DentryNode] | None:
        """Return the directories from the root to the target, given those to the link.

        None where the target is no directory, or cannot be followed inside the image.
        """
        target = self._target(link)
        if target is None or not left:
            return None
        for component in target:
            if component in (b"", b"."):
                continue
            if component == b"..":
                way = way[:-1] or way
                continue
            child = self._children(way[-1]).get(component)
            if child is None:
                return None
            if is_plain_directory(child.attributes):
                way = [*way, child]
                continue
            further = self._resolve(child, way, left - 1)
            if further is None:
                return None
            way = further
        return way

    def _children(self, directory: DentryNode) -> dict[bytes, DentryNode]:
        known = self._names.get(id(directory))
        if known is None:
            known = {child.name: child for child in self._tree.children(directory)}
            self._names[id(directory)] = known
        return known

    def _target(self, link: DentryNode) -> list[bytes] | None:
        if link.reparse_tag != ReparseTag.SYMLINK:
            return None
        data = self._read(link.content_sha1)
        if data is None:
            return None
        try:
            parsed = ReparseLink.parse(link.reparse_tag, data)
        except ReparseDataError:
            return None
        if not parsed.is_relative or parsed.substitute_name.startswith("\\"):
            return None
        name = parsed.substitute_name.encode("utf-16-le", "surrogatepass")
        return (
            name.decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass").split(b"\\")
        )
