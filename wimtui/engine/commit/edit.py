"""Edits of a WIM: image properties, images added, written, removed, and the file rebuilt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wimtui.engine.commit.options import WriteOptions, WriteResult
from wimtui.engine.commit.plan import KeptImage, Target, TreeImage
from wimtui.engine.commit.write import must_rebuild, write_archive, write_new
from wimtui.engine.container.xml_data import XmlData
from wimtui.engine.errors import ImageNameTakenError, NoSuchImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.snapshot import TreeSnapshot
    from wimtui.engine.container.xml_data import ImageElement


_RECKONED = frozenset(
    {"DIRCOUNT", "FILECOUNT", "TOTALBYTES", "HARDLINKBYTES", "LASTMODIFICATIONTIME"}
)
_CREATION_TIME = "CREATIONTIME"
_TIME_PARTS = ("HIGHPART", "LOWPART")
_TIME_PART = re.compile(r"0[xX][0-9A-Fa-f]{1,8}")


@dataclass(frozen=True, slots=True)
class ImageProperties:
    """What the XML data shall say of an image; None leaves it, an empty text removes it."""

    name: str | None = None
    description: str | None = None
    boot: bool | None = None
    """True makes it the bootable image, False makes none bootable, None leaves that."""
    others: Mapping[str, str] = field(default_factory=dict)
    """By path, such as ``WINDOWS/EDITIONID``; what a write reckons itself cannot be set."""


def commit_image(
    archive: Archive, index: int, tree: TreeSnapshot, options: WriteOptions, *, force: bool = False
) -> WriteResult:
    """Write a changed tree in the place of an image.

    Nothing is written where the tree has no changes and the options ask for nothing, unless
    ``force``.

    Raises:
        WimError: See ``write_archive``.
    """
    integrity_missing = options.integrity and not archive.wim.header.integrity.offset_in_wim
    asked = options.save_as is not None or integrity_missing or must_rebuild(archive, options)
    if not tree.has_changes and not force:
        if not asked:
            return _nothing(archive)
        return write_archive(archive, _unchanged(archive), options)
    target = _unchanged(archive)
    images = list(target.images)
    images[index - 1] = TreeImage(tree)
    result = write_archive(archive, replace(target, images=tuple(images)), options)
    return replace(result, image_index=index)


def commit_new_image(
    archive: Archive,
    index: int,
    tree: TreeSnapshot,
    properties: ImageProperties,
    options: WriteOptions,
) -> WriteResult:
    """Append a changed tree as an image, described as the one it was made from.

    Name and description are those of ``properties`` and not the old ones.

    Raises:
        ImageNameTakenError: Another image has the name.
        WimError: See ``write_archive``.
    """
    target = _unchanged(archive)
    element = target.xml.append_image(target.xml.images[index - 1].element)
    element.element.remove("NAME")
    element.element.remove("DESCRIPTION")
    return _append(archive, target, tree, element, properties, options)


def append_image(
    archive: Archive,
    tree: TreeSnapshot,
    properties: ImageProperties,
    options: WriteOptions,
    *,
    sets_rp_fix: bool = False,
) -> WriteResult:
    """Append an image.

    Raises:
        ImageNameTakenError: Another image has the name.
        WimError: See ``write_archive``.
    """
    target = replace(_unchanged(archive), sets_rp_fix=sets_rp_fix)
    element = _new_element(target.xml, options)
    return _append(archive, target, tree, element, properties, options)


def create(
    path: str,
    tree: TreeSnapshot,
    properties: ImageProperties,
    options: WriteOptions,
    *,
    sets_rp_fix: bool = False,
) -> WriteResult:
    """Make a WIM with one image; LZX where the options name no codec.

    Raises:
        WriteFailedError: The file exists, or cannot be written.
        WimError: See ``write_new``.
    """
    xml = XmlData()
    element = _new_element(xml, options)
    _describe(xml, element, properties, path)
    boot_index = 1 if properties.boot else 0
    target = Target((TreeImage(tree),), xml, boot_index, sets_rp_fix)
    return replace(write_new(path, target, options), image_index=1)


def set_properties(
    archive: Archive, index: int, properties: ImageProperties, options: WriteOptions
) -> WriteResult:
    """Change what the XML data and the header say of an image.

    Raises:
        ImageNameTakenError: Another image has the name.
        UsageError: A property that XML cannot hold.
        WimError: See ``write_archive``.
    """
    target = _unchanged(archive)
    _describe(target.xml, target.xml.images[index - 1], properties, archive.wim.path)
    boot_index = _boot_index(target, index, properties)
    asked = options.integrity is not None or must_rebuild(archive, options)
    unchanged = target.xml.pack() == archive.wim.xml.pack() and boot_index == target.boot_index
    if unchanged and not asked and options.save_as is None:
        return _nothing(archive)
    return replace(
        write_archive(archive, replace(target, boot_index=boot_index), options), image_index=index
    )


def delete_image(
    archive: Archive, index: int, options: WriteOptions, *, soft: bool = False
) -> WriteResult:
    """Remove an image; ``soft`` appends, and the bytes stay until the next rebuild.

    Raises:
        NoSuchImageError: It is the only one: a WIM without images opens in no Microsoft tool.
        WimError: See ``write_archive``.
    """
    target = _unchanged(archive)
    if len(target.images) == 1:
        raise NoSuchImageError(
            "the only image cannot be deleted", path=archive.wim.path, hint="remove the file"
        )
    target.xml.remove_image(index)
    images = [image for position, image in enumerate(target.images, 1) if position != index]
    boot = target.boot_index
    boot = 0 if boot == index else boot - (boot > index)
    target = replace(target, images=tuple(images), boot_index=boot)
    if not soft:
        options = replace(options, rebuild=True)
    return write_archive(archive, target, options)


def optimize(archive: Archive, options: WriteOptions) -> WriteResult:
    """Write the file anew without dead bytes. Raises what ``write_archive`` does."""
    return write_archive(archive, _unchanged(archive), replace(options, rebuild=True))


def _unchanged(archive: Archive) -> Target:
    wim = archive.wim
    images = tuple(KeptImage(index) for index in range(1, wim.image_count + 1))
    return Target(images, wim.xml.copy(), wim.header.effective_boot_index)


def _boot_index(target: Target, index: int, properties: ImageProperties) -> int:
    if properties.boot is None:
        return target.boot_index
    return index if properties.boot else 0


def _nothing(archive: Archive) -> WriteResult:
    size = archive.wim.file.size
    return WriteResult(archive.wim.path, False, old_size=size, new_size=size)


def _append(
    archive: Archive,
    target: Target,
    tree: TreeSnapshot,
    element: ImageElement,
    properties: ImageProperties,
    options: WriteOptions,
) -> WriteResult:
    _describe(target.xml, element, properties, archive.wim.path)
    index = len(target.images) + 1
    boot_index = _boot_index(target, index, properties)
    images = (*target.images, TreeImage(tree))
    target = replace(target, images=images, boot_index=boot_index)
    return replace(write_archive(archive, target, options), image_index=index)


def _new_element(xml: XmlData, options: WriteOptions) -> ImageElement:
    """Append an IMAGE with its elements in the usual order."""
    element = xml.append_image()
    for counter in ("DIRCOUNT", "FILECOUNT", "TOTALBYTES", "HARDLINKBYTES"):
        element.set_number(counter, 0)
    ticks = options.clock()
    element.set_time("CREATIONTIME", ticks)
    element.set_time("LASTMODIFICATIONTIME", ticks)
    return element


def _describe(xml: XmlData, element: ImageElement, properties: ImageProperties, path: str) -> None:
    """Write what is to be said of an image of the WIM at ``path``."""
    for place, value in properties.others.items():
        _check_settable(place, value)
    name = properties.others.get("NAME", properties.name)
    if name:
        taken = xml.find_name(name)
        if taken is not None and taken.index != element.index:
            raise ImageNameTakenError(
                f"image {taken.index} is named {name!r} already",
                path=path,
                hint="choose another name",
            )
    if name is not None:
        element.set("NAME", name)
        _move_to_front(element, "NAME")
    if properties.description is not None:
        element.set("DESCRIPTION", properties.description)
    for place, value in properties.others.items():
        if place != "NAME":
            element.set(place, value)


def _check_settable(path: str, value: str) -> None:
    """Refuse what the writer reckons, and a time that is none. Raises UsageError."""
    top, _, part = path.partition("/")
    if top in _RECKONED:
        raise UsageError(
            f"the property {path} cannot be set: every write reckons {top} from the image itself",
            hint="leave it out",
        )
    if top == _CREATION_TIME and not (part in _TIME_PARTS and _TIME_PART.fullmatch(value)):
        raise UsageError(
            f"the property {path} cannot be {value!r}",
            hint=f"set {top}/HIGHPART and {top}/LOWPART, each to 0x and eight hex digits",
        )


def _move_to_front(element: ImageElement, name: str) -> None:
    """Put a child of an image first, where all writers have the name."""
    child = element.element.find(name)
    if child is not None and element.element.children[0] is not child:
        others = [other for other in element.element.children if other is not child]
        element.element.children = [child, *others]
