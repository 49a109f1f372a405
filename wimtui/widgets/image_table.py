"""The table of a WIM's images, and all that is known of one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

from wimtui.service.archives import ARCHITECTURES
from wimtui.widgets.cells import (
    NOTHING,
    Cell,
    exact_size_text,
    plain,
    size_text,
    ticks_text,
)
from wimtui.widgets.column_table import Column, ColumnTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from wimtui.service.archives import ArchiveFacts, ImageInfo, SplitSet
    from wimtui.service.mounts import MountSummary
    from wimtui.service.space import SpaceFacts
    from wimtui.widgets.fact_list import Fact


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image in its WIM."""

    info: ImageInfo
    architecture: str
    is_boot: bool
    is_solid: bool
    mount_points: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Such as ``10.0.19041.1``."""
        windows = self.info.windows
        if windows is None or windows.version is None:
            return ""
        return ".".join(str(number) for number in windows.version[:4])

    @property
    def edition(self) -> str:
        """The edition, or what comes nearest."""
        windows = self.info.windows
        found = windows.edition_id if windows is not None else None
        return found or self.info.flags or ""

    @property
    def languages(self) -> str:
        """All languages, the default first."""
        windows = self.info.windows
        if windows is None:
            return ""
        default = windows.default_language
        others = [language for language in windows.languages if language != default]
        return " ".join([*([default] if default else []), *others])

    def text(self) -> str:
        """All that a filter looks at."""
        info = self.info
        parts = (
            str(info.index), info.name, info.description, info.display_name or "", self.edition,
            self.version, self.architecture, self.languages, " ".join(self.mount_points),
        )  # fmt: skip
        return "\n".join(parts).casefold()


def rows_of(facts: ArchiveFacts, path: str, mounts: Iterable[MountSummary]) -> Iterator[ImageRow]:
    """Yield the images of a WIM, with where they are mounted."""
    own = {path, os.path.realpath(path)}
    points: dict[int, list[str]] = {}
    for mount in mounts:
        if mount.wim_path in own:
            points.setdefault(mount.image_index, []).append(mount.mount_point)
    for info in facts.images:
        windows = info.windows
        yield ImageRow(
            info,
            "" if windows is None else ARCHITECTURES.get(windows.architecture, "unknown"),
            is_boot=facts.boot_index == info.index,
            is_solid=facts.solid,
            mount_points=tuple(points.get(info.index, ())),
        )


SORTS: Mapping[str, Callable[[ImageRow], object]] = {
    "index": lambda row: row.info.index,
    "name": lambda row: row.info.name.casefold(),
    "description": lambda row: row.info.description.casefold(),
    "edition": lambda row: row.edition.casefold(),
    "version": lambda row: row.info.windows.version or () if row.info.windows else (),
    "arch": lambda row: row.architecture,
    "languages": lambda row: row.languages,
    "size": lambda row: row.info.total_bytes,
    "files": lambda row: row.info.file_count,
    "dirs": lambda row: row.info.directory_count,
    "created": lambda row: row.info.creation_time,
    "modified": lambda row: row.info.last_modification_time,
}


class ImageTable(ColumnTable[ImageRow]):
    """Images, one a row."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("marks", "", 3),
        Column("index", "#", 3, align="right"),
        Column("name", "NAME", 14, flex=4, most=44),
        Column("description", "DESCRIPTION", 12, flex=2, most=50, rank=10),
        Column("edition", "EDITION", 12, flex=1, most=24, rank=7),
        Column("version", "VERSION", 12, flex=1, most=18, rank=5),
        Column("arch", "ARCH", 6, rank=3),
        Column("languages", "LANG", 5, flex=1, most=16, rank=6),
        Column("size", "SIZE", 6, align="right"),
        Column("files", "FILES", 7, align="right", rank=2),
        Column("dirs", "DIRS", 6, align="right", rank=4),
        Column("created", "CREATED", 10, rank=9),
        Column("modified", "MODIFIED", 10, rank=1),
    )

    def row_key(self, row: ImageRow) -> int:
        """The index."""
        return row.info.index

    def cell(self, row: ImageRow, key: str) -> Cell | str:
        """What a column shows of an image."""
        info = row.info
        match key:
            case "marks":
                return Cell(marks(row), "good" if row.mount_points else "accent")
            case "index":
                return f"{info.index}"
            case "name":
                return Cell(plain(info.name) or "(unnamed)", "" if info.name else "muted")
            case "description":
                return Cell(plain(info.description), "muted")
            case "size":
                return size_text(info.total_bytes)
            case "files":
                return f"{info.file_count:,}"
            case "dirs":
                return f"{info.directory_count:,}"
            case "created":
                return Cell(ticks_text(info.creation_time)[:10], "muted")
            case "modified":
                return Cell(ticks_text(info.last_modification_time)[:10], "muted")
        values = {
            "edition": row.edition,
            "version": row.version,
            "arch": row.architecture,
            "languages": row.languages,
        }
        return plain(values[key]) or Cell(NOTHING, "muted")


class ImageChoices(ImageTable):
    """Images to choose one of: what tells them apart, and little else."""

    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("marks", "", 3),
        Column("index", "#", 3, align="right"),
        Column("name", "NAME", 24, flex=3, most=60),
        Column("edition", "EDITION", 12, flex=1, most=24, rank=1),
        Column("languages", "LANG", 5, flex=1, most=16, rank=2),
        Column("size", "SIZE", 6, align="right"),
    )


def marks(row: ImageRow) -> str:
    """Return ``●`` for mounted, ``B`` for boot, ``S`` for solid."""
    return "".join(
        sign if there else " "
        for sign, there in (("●", row.mount_points), ("B", row.is_boot), ("S", row.is_solid))
    )


def image_facts(row: ImageRow) -> Iterator[Fact]:
    """Return every field that ``wimtui info`` shows of an image."""
    info = row.info
    yield "Index", f"{info.index}"
    yield "Name", Cell(plain(info.name) or "(unnamed)", "strong")
    yield "Description", plain(info.description) or NOTHING
    if info.display_name is not None:
        yield "Display name", plain(info.display_name)
    if info.display_description is not None:
        yield "Display text", plain(info.display_description)
    for point in row.mount_points:
        yield "Mounted at", Cell(plain(point), "good")
    if row.is_boot:
        yield "Boot", Cell("the WIM's boot image", "accent")
    yield "Size", exact_size_text(info.total_bytes)
    yield "Hard links", exact_size_text(info.hard_link_bytes)
    yield "Files", f"{info.file_count:,}"
    yield "Folders", f"{info.directory_count:,}"
    yield "Created", f"{ticks_text(info.creation_time)} UTC"
    yield "Modified", f"{ticks_text(info.last_modification_time)} UTC"
    yield "Flags", plain(info.flags) if info.flags is not None else NOTHING
    yield "WIMBoot", "yes" if info.wimboot else "no"
    yield from _windows_facts(row)


def _windows_facts(row: ImageRow) -> Iterator[Fact]:
    windows = row.info.windows
    if windows is None:
        return
    yield "Windows", ""
    yield "Architecture", row.architecture
    optional = {
        "Product": windows.product_name,
        "Edition": windows.edition_id,
        "Installation": windows.installation_type,
        "HAL": windows.hal,
        "Product type": windows.product_type,
        "Suite": windows.product_suite,
    }
    yield from ((label, plain(text)) for label, text in optional.items() if text is not None)
    if windows.languages:
        yield "Languages", plain(" ".join(windows.languages))
    if windows.default_language is not None:
        yield "Default", plain(windows.default_language)
    if windows.system_root is not None:
        yield "System root", plain(windows.system_root)
    if windows.version is not None:
        major, minor, build, pack, level = windows.version
        yield "Version", f"{major}.{minor}, build {build}"
        yield "Service pack", f"build {pack}, level {level}"


def archive_facts(
    facts: ArchiveFacts, space: SpaceFacts | None = None, parts: SplitSet | None = None
) -> Iterator[Fact]:
    """Return what the header says, and what of the file is in use as soon as that is known."""
    yield "Path", Cell(plain(facts.path), "strong")
    yield "Size", exact_size_text(facts.file_size)
    yield "Reclaimable", NOTHING if space is None else _reclaimable(space)
    chunk = f", chunks of {size_text(facts.chunk_size)}" if facts.chunk_size else ""
    solid = ", solid" if facts.solid else ""
    yield "Compression", f"{facts.compression}{chunk}{solid}"
    boot = f", boot image {facts.boot_index}" if facts.boot_index else ""
    yield "Images", f"{facts.image_count}{boot}"
    yield "Part", _part(facts, parts)
    yield "GUID", facts.guid
    has_table = "Integrity info" in facts.attributes
    yield "Integrity", "has a table of checksums" if has_table else "no table of checksums"
    yield "Version", f"{facts.version:#x}"
    yield "Attributes", ", ".join(facts.attributes) or NOTHING
    for warning in facts.warnings:
        yield "Warning", Cell(plain(warning), "warn")


def _part(facts: ArchiveFacts, parts: SplitSet | None) -> Cell | str:
    text = f"{facts.part_number} of {facts.total_parts}"
    if facts.part_number == 1 or parts is None:
        return text
    if parts.first == facts.path:
        return Cell(f"{text}; the first part, which has the images, is not beside it", "warn")
    return f"{text}; images are opened with {plain(PurePath(parts.first).name)}, the first part"


def _reclaimable(space: SpaceFacts) -> Cell | str:
    if not space.reclaimable:
        return "nothing"
    text = exact_size_text(space.reclaimable)
    return Cell(f"{text}, Optimise gives it back", "warn")
