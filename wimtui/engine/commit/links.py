"""Whether a link made under Linux points at a directory of its image, as Windows has to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.engine.errors import ReparseDataError
from wimtui.engine.image.attributes import FileAttribute, is_plain_directory
from wimtui.engine.image.reparse import ReparseLink, ReparseTag

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.commit.snapshot import TreeSnapshot
    from wimtui.engine.image.metadata_writer import DentryNode

_MAX_LINKS = 40
"""Links followed on the way to one target, as Linux does."""


class DirectoryLinks:
    """Resolves relative targets inside a tree; remembers the directories it has seen."""

    def __init__(self, tree: TreeSnapshot, read: Callable[[bytes], bytes | None]) -> None:
        """Look into ``tree``; ``read`` returns the reparse data behind a hash or token."""
        self._tree = tree
        self._read = read
        self._names: dict[int, dict[bytes, DentryNode]] = {}
        self._parents: dict[int, DentryNode] = {}
        self._kept: list[DentryNode] = []

    def note(self, parent: DentryNode, children: list[DentryNode]) -> None:
        """Remember what a directory holds."""
        self._names[id(parent)] = {child.name: child for child in children}
        self._kept.append(parent)
        for child in children:
            self._parents[id(child)] = parent
            self._kept.append(child)

    def points_at_directory(self, link: DentryNode) -> bool:
        """Return whether a symlink's relative target is a directory, other links followed."""
        end = self._follow(link, _MAX_LINKS)
        return end is not None and is_plain_directory(end.attributes)

    def _follow(self, link: DentryNode, left: int) -> DentryNode | None:
        target = self._target(link)
        at: DentryNode | None = self._parents.get(id(link))
        if target is None or not left:
            return None
        for component in target:
            if at is not None and at.attributes & FileAttribute.REPARSE_POINT:
                at = self._follow(at, left - 1)
            if at is None or not is_plain_directory(at.attributes):
                return None
            if component == b"..":
                at = self._parents.get(id(at), at)
            elif component not in (b"", b"."):
                at = self._children(at).get(component)
        if at is not None and at.attributes & FileAttribute.REPARSE_POINT:
            return self._follow(at, left - 1)
        return at

    def _children(self, directory: DentryNode) -> dict[bytes, DentryNode]:
        known = self._names.get(id(directory))
        if known is None:
            self.note(directory, list(self._tree.children(directory)))
            known = self._names[id(directory)]
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
