"""XML elements: what WIM files use of XML, parsed with protection, written as WIM writers do."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.parsers import expat

from wimtui.engine.errors import LimitError, XmlDataError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 50
"""Nesting that wimlib accepts; nobody writes a tenth of it."""

_ESCAPES = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;", "'": "&apos;", '"': "&quot;"})


class XmlElement:
    """An element: name, attributes, and children that are elements or text.

    Text and CDATA that follow each other are one child; comments and processing instructions are
    not kept.
    """

    __slots__ = ("attributes", "children", "name")

    def __init__(
        self,
        name: str,
        attributes: dict[str, str] | None = None,
        children: list[XmlElement | str] | None = None,
    ) -> None:
        self.name = name
        self.attributes = {} if attributes is None else attributes
        self.children = [] if children is None else children

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, XmlElement):
            return NotImplemented
        return (self.name, self.attributes, self.children) == (
            other.name,
            other.attributes,
            other.children,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"XmlElement({self.name!r}, {self.attributes!r}, {self.children!r})"

    @property
    def text(self) -> str:
        """The first text child, or an empty string."""
        for child in self.children:
            if isinstance(child, str):
                return child
        return ""

    @text.setter
    def text(self, value: str) -> None:
        """Make ``value`` the only text, before any element children."""
        self.children = [child for child in self.children if isinstance(child, XmlElement)]
        if value:
            self.children.insert(0, value)

    def elements(self, name: str | None = None) -> Iterator[XmlElement]:
        """Yield the element children, or those of one name."""
        for child in self.children:
            if isinstance(child, XmlElement) and (name is None or child.name == name):
                yield child

    def find(self, path: str) -> XmlElement | None:
        """Return the first element at a path such as ``WINDOWS/VERSION/BUILD``, or None."""
        element = self
        for name in path.split("/"):
            child = next(element.elements(name), None)
            if child is None:
                return None
            element = child
        return element

    def make(self, path: str) -> XmlElement:
        """Return the first element at a path, appending what is missing of it."""
        element = self
        for name in path.split("/"):
            child = next(element.elements(name), None)
            if child is None:
                child = XmlElement(name)
                element.children.append(child)
            element = child
        return element

    def remove(self, path: str) -> bool:
        """Remove the first element at a path; return whether there was one."""
        parent_path, _, name = path.rpartition("/")
        parent = self.find(parent_path) if parent_path else self
        child = next(parent.elements(name), None) if parent is not None else None
        if parent is None or child is None:
            return False
        parent.children = [other for other in parent.children if other is not child]
        return True

    def copy(self) -> XmlElement:
        """Return a deep copy."""
        children = [child if isinstance(child, str) else child.copy() for child in self.children]
        return XmlElement(self.name, dict(self.attributes), children)

    def write(self, pieces: list[str]) -> None:
        """Append the element's markup to ``pieces``, without white space of its own."""
        attributes = "".join(
            f' {name}="{value.translate(_ESCAPES)}"' for name, value in self.attributes.items()
        )
        pieces.append(f"<{self.name}{attributes}>")
        for child in self.children:
            if isinstance(child, str):
                pieces.append(child.translate(_ESCAPES))
            else:
                child.write(pieces)
        pieces.append(f"</{self.name}>")


def parse_xml(text: str, *, max_elements: int, path: str, offset_in_file: int) -> XmlElement:
    """Return the root element of a document.

    Nothing is fetched and no entity of a DTD is expanded: declaring one is an error. Decimal and
    hexadecimal character references are accepted.

    Raises:
        XmlDataError: Not well-formed, nested more than 50 deep, or with entities of its own.
        LimitError: More than ``max_elements`` elements and attributes.
    """
    builder = _Builder(max_elements)
    parser = expat.ParserCreate("utf-8")
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.buffer_size = 1 << 16
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.add_text
    parser.EntityDeclHandler = builder.refuse_entity
    parser.SkippedEntityHandler = builder.refuse_entity
    try:
        with _no_collection():
            parser.Parse(text.encode("utf-8"), True)
    except expat.ExpatError as error:
        reason = f"{expat.ErrorString(error.code)} in line {error.lineno}, column {error.offset}"
    except _RefusedError as error:
        reason = str(error)
    except _TooManyError as error:
        raise LimitError(
            f"the XML data has over {max_elements} elements and attributes",
            path=path,
            structure="XML data",
            offset_in_file=offset_in_file,
        ) from error
    else:
        assert builder.root is not None
        return builder.root
    raise XmlDataError(
        f"XML data is invalid: {reason}",
        path=path,
        structure="XML data",
        offset_in_file=offset_in_file,
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the collector from going through a million elements again and again: half the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _RefusedError(Exception):
    pass


class _TooManyError(Exception):
    pass


class _Builder:
    """Builds elements from expat's calls."""

    def __init__(self, max_elements: int) -> None:
        self.root: XmlElement | None = None
        self._open: list[XmlElement] = []
        self._left = max_elements
        self._text: list[str] = []

    def start(self, name: str, attributes: list[str]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _RefusedError(f"elements are nested more than {MAX_DEPTH} deep")
        self._left -= 1 + len(attributes) // 2
        if self._left < 0:
            raise _TooManyError
        self._flush()
        element = XmlElement(name, dict(zip(attributes[::2], attributes[1::2], strict=True)))
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, name: str) -> None:
        self._flush()
        self._open.pop()

    def add_text(self, text: str) -> None:
        self._text.append(text)

    def _flush(self) -> None:
        if self._text:
            self._open[-1].children.append("".join(self._text))
            self._text.clear()

    def refuse_entity(self, name: str, *rest: object) -> None:
        raise _RefusedError(f"entity {name!r} is not one of XML's own")
