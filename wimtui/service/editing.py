"""What front ends ask to be written: WIMs made, directories captured, images set and deleted."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wimtui.control import registry
from wimtui.engine.archive import Archive
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit import edit
from wimtui.engine.commit.capture import CaptureOptions, capture, empty_tree
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import Compression, WriteOptions
from wimtui.engine.container.flags import HeaderFlag
from wimtui.engine.errors import LockedError, UsageError
from wimtui.service.write_access import writer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.commit.options import WriteResult
    from wimtui.engine.progress import CancelToken, ProgressSink

__all__ = [
    "ImageProperties",
    "WriteSettings",
    "Written",
    "capture_directory",
    "delete_image",
    "new_wim",
    "optimize_wim",
    "parse_compression",
    "set_image",
]  # fmt: skip

_MAX_LEVEL = 1_000_000


@dataclass(frozen=True, slots=True)
class WriteSettings:
    """How to write, in the terms of the command line."""

    compress: str | None = None
    """``TYPE[:LEVEL]``, where TYPE is none, XPRESS, LZX or LZMS in any case."""
    check: bool | None = None
    """Write an integrity table, or none; None keeps what there is."""
    rebuild: bool = False
    recompress: bool = False
    solid: bool = False
    save_as: str | None = None
    ignore_readonly: bool = False
    check_space: bool = True
    """Refuse before anything is written where the disk may be too small."""
    progress: ProgressSink | None = None
    cancel: CancelToken | None = None

    def options(self) -> WriteOptions:
        """Return what the engine takes. Raises UsageError."""
        return WriteOptions(
            rebuild=self.rebuild,
            recompress=self.recompress,
            solid=self.solid,
            compression=parse_compression(self.compress),
            integrity=self.check,
            save_as=self.save_as,
            ignore_readonly=self.ignore_readonly,
            check_space=self.check_space,
            progress=self.progress,
            cancel=self.cancel,
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it, for people and scripts."""

    path: str
    is_written: bool
    """False where there was nothing to do."""
    is_rebuilt: bool
    image_index: int
    old_size: int
    new_size: int
    blobs_written: int
    blobs_reused: int
    blobs_copied: int
    blobs_dropped: int
    warnings: tuple[str, ...] = field(default=())


def parse_compression(text: str | None) -> Compression:
    """Read ``TYPE[:LEVEL]``; None stands for what the file has, at the default level.

    Raises:
        UsageError: It is no such thing.
    """
    if text is None:
        return Compression()
    name, colon, level = text.partition(":")
    names = {codec.name.lower(): codec for codec in CodecId}
    names |= {"fast": CodecId.XPRESS, "maximum": CodecId.LZX, "max": CodecId.LZX}
    codec = names.get(name.lower())
    if codec is None:
        raise UsageError(f"{name!r} is no compression type", hint="use none, XPRESS, LZX or LZMS")
    if not colon:
        return Compression(codec)
    if not level.isdecimal() or not 0 < int(level) <= _MAX_LEVEL:
        raise UsageError(f"{level!r} is no compression level", hint="use 20, 50 or 100")
    return Compression(codec, level=int(level))


def new_wim(path: str, properties: ImageProperties, settings: WriteSettings) -> Written:
    """Make a WIM with one image that holds nothing but its root. Raises WimError."""
    options = settings.options()
    return _written(edit.create(path, empty_tree(options.clock()), properties, options))


def capture_directory(
    directory: str,
    path: str,
    properties: ImageProperties,
    settings: WriteSettings,
    capturing: CaptureOptions | None = None,
) -> Written:
    """Append an image of a directory to a WIM, which is made if it does not exist.

    An image without a name gets the directory's. Links are made relative to the image's root as
    wimlib does: in a new WIM, or one whose header says that some are.

    Raises:
        WimError: The directory cannot be read or the WIM not be written.
    """
    options = settings.options()
    capturing = replace(
        capturing or CaptureOptions(), progress=settings.progress, cancel=settings.cancel
    )
    if not os.path.lexists(path):
        tree = capture(directory, capturing)
        fixed = capturing.fix_links
        named = properties if properties.name else _with_name(properties, directory, [])
        result = edit.create(path, tree, named, options, sets_rp_fix=fixed)
        return _written(result, tree.skipped)
    with _mount_named(path), Archive.open(path) as archive:
        fixes = capturing.fix_links and bool(archive.wim.header.flags & HeaderFlag.RP_FIX)
        tree = capture(directory, replace(capturing, fix_links=fixes))
        if properties.name is None:
            taken = [image.name for image in archive.wim.xml.images]
            properties = _with_name(properties, directory, taken)
        result = edit.append_image(archive, tree, properties, options)
        return _written(result, tree.skipped)


def set_image(
    path: str, image: str | None, properties: ImageProperties, settings: WriteSettings
) -> Written:
    """Change name, description, properties or bootability of an image. Raises WimError."""
    with _mount_named(path), Archive.open(path) as archive:
        index = archive.find_image(image)
        return _written(edit.set_properties(archive, index, properties, settings.options()))


def delete_image(path: str, image: str, settings: WriteSettings, *, soft: bool = False) -> Written:
    """Delete an image; ``soft`` leaves its bytes in the file.

    Raises:
        UsageError: It is mounted.
        WimError: The WIM cannot be written.
    """
    with _mount_named(path), Archive.open(path) as archive:
        index = archive.find_image(image)
        _refuse_mounted(path, index)
        return _written(edit.delete_image(archive, index, settings.options(), soft=soft))


def optimize_wim(path: str, settings: WriteSettings) -> Written:
    """Rebuild a WIM without dead bytes. Raises WimError."""
    with _mount_named(path), Archive.open(path) as archive:
        return _written(edit.optimize(archive, settings.options()))


@contextmanager
def _mount_named(path: str) -> Iterator[None]:
    """Say of a WIM that is locked where it is mounted."""
    try:
        yield
    except LockedError as error:
        if writer := writer_of(path):
            raise LockedError(writer, path=path, hint="unmount it, or wait") from error
        raise


def _refuse_mounted(path: str, index: int) -> None:
    """Refuse an image that somebody looks into. Raises UsageError."""
    real = os.path.realpath(path)
    for record in registry.list_mounts(all_users=os.geteuid() == 0):
        entry = record.entry
        if record.alive and entry.image_index == index and entry.wim_path in (path, real):
            raise UsageError(
                f"image {index} is mounted at {entry.mount_point}",
                path=path,
                hint=f"wimtui unmount {entry.mount_point}",
            )


def _with_name(properties: ImageProperties, directory: str, taken: list[str]) -> ImageProperties:
    """Return properties with the directory's name, and a number behind it where it is taken."""
    base = os.path.basename(os.path.realpath(directory)) or "root"  # noqa: PTH119  # of a string
    base = base.encode("utf-8", "replace").decode()
    name = base
    number = 1
    while name in taken:
        number += 1
        name = f"{base} ({number})"
    return replace(properties, name=name)


def _written(result: WriteResult, skipped: list[str] | None = None) -> Written:
    if result.lock is not None:
        result.lock.close()
    return Written(
        path=result.path,
        is_written=result.is_written,
        is_rebuilt=result.is_rebuilt,
        image_index=result.image_index,
        old_size=result.old_size,
        new_size=result.new_size,
        blobs_written=result.blobs_written,
        blobs_reused=result.blobs_reused,
        blobs_copied=result.blobs_copied,
        blobs_dropped=result.blobs_dropped,
        warnings=(*result.warnings, *(skipped or ())),
    )
