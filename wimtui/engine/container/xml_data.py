"""XML data of a WIM: the document about its images, in UTF-16LE."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wimtui.engine.container.limits import Limits
from wimtui.engine.container.xml_element import XmlElement, parse_xml
from wimtui.engine.errors import LimitError, UsageError, XmlDataError

_BOM = b"\xff\xfe"
_ELEMENT_NAME = re.compile(r"[A-Za-z_][\w.\-]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_MAX_U64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class WindowsInfo:
    """The WINDOWS element: what a capture tool found out about the system inside.

    Texts are None where the element is absent.
    """

    architecture: int
    """0 x86, 5 ARM, 6 ia64, 9 x64, 12 ARM64."""

    product_name: str | None
    edition_id: str | None
    installation_type: str | None
    hal: str | None
    product_type: str | None
    product_suite: str | None
    languages: tuple[str, ...]
    default_language: str | None
    system_root: str | None
    version: tuple[int, int, int, int, int] | None
    """Major, minor, build, service pack build, service pack level."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the document says of one image. Numbers are 0, and times 0, where it says nothing."""

    index: int
    name: str
    description: str
    display_name: str | None
    display_description: str | None
    directory_count: int
    file_count: int
    total_bytes: int
    hard_link_bytes: int
    creation_time: int
    """FILETIME ticks."""

    last_modification_time: int
    """FILETIME ticks."""

    flags: str | None
    wimboot: bool
    windows: WindowsInfo | None


class ImageElement:
    """One IMAGE element, to read and to edit."""

    __slots__ = ("element",)

    def __init__(self, element: XmlElement) -> None:
        self.element = element

    @property
    def index(self) -> int:
        """The 1-based image index."""
        return int(self.element.attributes["INDEX"])

    @index.setter
    def index(self, value: int) -> None:
        """Change the INDEX attribute."""
        self.element.attributes["INDEX"] = str(value)

    @property
    def name(self) -> str:
        """The NAME, empty for an unnamed image."""
        return self.get("NAME") or ""

    def get(self, path: str) -> str | None:
        """Return the text at a path such as ``WINDOWS/EDITIONID``, or None without the element."""
        element = self.element.find(path)
        return None if element is None else element.text

    def get_number(self, path: str) -> int:
        """Return the decimal number at a path; anything else than a u64 counts as 0."""
        return _number(self.get(path), 10)

    def get_time(self, path: str) -> int:
        """Return FILETIME ticks from the HIGHPART and LOWPART of the element at a path."""
        high = _number(self.get(f"{path}/HIGHPART"), 16)
        low = _number(self.get(f"{path}/LOWPART"), 16)
        return (high & 0xFFFFFFFF) << 32 | low & 0xFFFFFFFF

    def set(self, path: str, value: str) -> None:
        """Set the text at a path, replacing in place or appending; an empty value removes it.

        Raises:
            UsageError: The path is no path of element names, or the value has characters that XML
                cannot hold.
        """
        for name in path.split("/"):
            if not _ELEMENT_NAME.fullmatch(name):
                raise UsageError(f"{path!r} is no path of an image property")
        if _CONTROL.search(value):
            raise UsageError(f"the value of {path} has characters that XML cannot hold")
        if value:
            self.element.make(path).text = value
        else:
            self.element.remove(path)

    def set_number(self, path: str, value: int) -> None:
        """Set a decimal number."""
        self.element.make(path).text = str(value)

    def set_time(self, path: str, ticks: int) -> None:
        """Set FILETIME ticks as HIGHPART and LOWPART."""
        self.element.make(f"{path}/HIGHPART").text = f"0x{ticks >> 32 & 0xFFFFFFFF:08X}"
        self.element.make(f"{path}/LOWPART").text = f"0x{ticks & 0xFFFFFFFF:08X}"

    def info(self) -> ImageInfo:
        """Return all that `info` shows."""
        return ImageInfo(
            index=self.index,
            name=self.name,
            description=self.get("DESCRIPTION") or "",
            display_name=self.get("DISPLAYNAME"),
            display_description=self.get("DISPLAYDESCRIPTION"),
            directory_count=self.get_number("DIRCOUNT"),
            file_count=self.get_number("FILECOUNT"),
            total_bytes=self.get_number("TOTALBYTES"),
            hard_link_bytes=self.get_number("HARDLINKBYTES"),
            creation_time=self.get_time("CREATIONTIME"),
            last_modification_time=self.get_time("LASTMODIFICATIONTIME"),
            flags=self.get("FLAGS"),
            wimboot=self.get_number("WIMBOOT") != 0,
            windows=self._windows(),
        )

    def _windows(self) -> WindowsInfo | None:
        if self.element.find("WINDOWS") is None:
            return None
        version = None
        if self.element.find("WINDOWS/VERSION") is not None:
            major, minor, build, sp_build, sp_level = (
                self.get_number(f"WINDOWS/VERSION/{name}")
                for name in ("MAJOR", "MINOR", "BUILD", "SPBUILD", "SPLEVEL")
            )
            version = (major, minor, build, sp_build, sp_level)
        languages = self.element.find("WINDOWS/LANGUAGES")
        return WindowsInfo(
            architecture=self.get_number("WINDOWS/ARCH"),
            product_name=self.get("WINDOWS/PRODUCTNAME"),
            edition_id=self.get("WINDOWS/EDITIONID"),
            installation_type=self.get("WINDOWS/INSTALLATIONTYPE"),
            hal=self.get("WINDOWS/HAL"),
            product_type=self.get("WINDOWS/PRODUCTTYPE"),
            product_suite=self.get("WINDOWS/PRODUCTSUITE"),
            languages=tuple(
                language.text
                for language in (languages.elements("LANGUAGE") if languages is not None else ())
            ),
            default_language=self.get("WINDOWS/LANGUAGES/DEFAULT"),
            system_root=self.get("WINDOWS/SYSTEMROOT"),
            version=version,
        )


class XmlData:
    """The document: images in the order of their indexes, and whatever else it holds.

    Elements that mean nothing here are kept and written again.
    """

    __slots__ = ("root",)

    def __init__(self, root: XmlElement | None = None) -> None:
        """Begin a document without images, or take over ``root``."""
        self.root = XmlElement("WIM") if root is None else root

    @classmethod
    def parse(
        cls, data: bytes, *, path: str = "", offset_in_file: int = 0, limits: Limits | None = None
    ) -> XmlData:
        """Read the bytes of a document, with or without byte order mark and NULs at its end.

        Raises:
            XmlDataError: Not UTF-16LE, not well-formed, another root than WIM, or INDEX attributes
                that are not exactly 1 to n.
            LimitError: Larger than the limits.
        """
        limits = limits or Limits()
        if len(data) > limits.xml_size:
            raise LimitError(
                f"{len(data)} bytes of XML data are over the limit of {limits.xml_size}",
                path=path,
                structure="XML data",
                offset_in_file=offset_in_file,
            )
        text = _decode(data, path, offset_in_file)
        root = parse_xml(
            text, max_elements=limits.xml_elements, path=path, offset_in_file=offset_in_file
        )
        document = cls(root)
        reason = document._flaw()
        if reason is not None:
            raise XmlDataError(
                f"XML data is invalid: {reason}",
                path=path,
                structure="XML data",
                offset_in_file=offset_in_file,
            )
        return document

    def pack(self) -> bytes:
        """Return the bytes to store: UTF-16LE after a byte order mark, without indentation."""
        pieces: list[str] = []
        self.root.write(pieces)
        return _BOM + "".join(pieces).encode("utf-16-le")

    def copy(self) -> XmlData:
        """Return a deep copy to edit."""
        return XmlData(self.root.copy())

    @property
    def images(self) -> list[ImageElement]:
        """The images, that of index i at position i - 1."""
        images = [ImageElement(element) for element in self.root.elements("IMAGE")]
        return sorted(images, key=lambda image: image.index)

    @property
    def total_bytes(self) -> int:
        """Root TOTALBYTES: the file without XML and integrity table; 0 where it says nothing."""
        element = self.root.find("TOTALBYTES")
        return 0 if element is None else _number(element.text, 10)

    @total_bytes.setter
    def total_bytes(self, value: int) -> None:
        """Set root TOTALBYTES."""
        self.root.make("TOTALBYTES").text = str(value)

    @property
    def is_encrypted(self) -> bool:
        """Whether the document marks an encrypted ESD: a child ESD of the root with ENCRYPTED."""
        return any(element.find("ENCRYPTED") is not None for element in self.root.elements("ESD"))

    def find_name(self, name: str) -> ImageElement | None:
        """Return the first image of that name (exact, case-sensitive), or None."""
        return next((image for image in self.images if image.name == name), None)

    def append_image(self, element: XmlElement | None = None) -> ImageElement:
        """Append an image under the next index; ``element`` may come from another document."""
        image = ImageElement(XmlElement("IMAGE") if element is None else element.copy())
        image.index = len(self.images) + 1
        self.root.children.append(image.element)
        return image

    def remove_image(self, index: int) -> None:
        """Remove an image; those behind it move down by one."""
        for image in self.images:
            if image.index == index:
                removed = image.element
                self.root.children = [child for child in self.root.children if child is not removed]
            elif image.index > index:
                image.index -= 1

    def _flaw(self) -> str | None:
        """Return what makes the document no WIM's, or None."""
        if self.root.name != "WIM":
            return f"its root is {self.root.name[:40]!r}, not 'WIM'"
        indexes = [element.attributes.get("INDEX", "") for element in self.root.elements("IMAGE")]
        for index in indexes:
            if not re.fullmatch(r"0{0,20}[1-9][0-9]{0,9}", index, re.ASCII):
                return f"an IMAGE with INDEX {index[:40]!r}"
        if sorted(map(int, indexes)) != list(range(1, len(indexes) + 1)):
            return f"the IMAGE indexes are not 1 to {len(indexes)}"
        return None


def _decode(data: bytes, path: str, offset_in_file: int) -> str:
    body = data[2:] if data.startswith(_BOM) else data
    if not data.startswith(_BOM) and not data.startswith(b"<\0"):
        raise XmlDataError(
            "XML data is invalid: it is not UTF-16LE",
            path=path,
            structure="XML data",
            offset_in_file=offset_in_file,
        )
    return body[: len(body) & ~1].decode("utf-16-le", "replace").rstrip("\0")


def _number(text: str | None, base: int) -> int:
    """Return a u64 written in ``base``, or 0 for anything else."""
    if not text:
        return 0
    pattern = r"\s*(0[xX])?[0-9A-Fa-f]+" if base == 16 else r"\s*\+?[0-9]+"
    if not re.fullmatch(pattern, text, re.ASCII) or len(text) > 40:
        return 0
    value = int(text, base)
    return value if value <= _MAX_U64 else 0
