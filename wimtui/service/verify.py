"""Whether a WIM holds what it says: its integrity table, and every blob's SHA-1."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.container.verify import verify_blobs
from wimtui.engine.container.wim_file import check_integrity
from wimtui.engine.errors import IntegrityError, IntegrityTableError, WimError
from wimtui.engine.image.metadata import ROOT_DENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.container.verify import BadBlob
    from wimtui.engine.image.metadata import ImageMetadata
    from wimtui.engine.progress import CancelToken, ProgressSink

_MAX_PATHS = 100
"""Paths reported for one bad blob."""

_MAX_PATH_NBYTES = 4096
"""Beginning of a path that is reported: longer ones cannot be opened either."""


@dataclass(frozen=True, slots=True)
class DamagedBlob:
    """A blob that does not read as what its table says."""

    sha1: str
    size: int
    offset_in_wim: int
    wim_path: str
    reason: str
    paths: tuple[str, ...]
    """``[image index] path`` of files that use it, at most 100."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found."""

    path: str
    integrity: str
    """``ok``, ``none`` where there is no table, or what is wrong."""
    integrity_ok: bool
    blobs: int
    nbytes: int
    """Uncompressed bytes of all blobs."""
    damaged: tuple[DamagedBlob, ...]
    missing: tuple[str, ...]
    """``[image index] path`` of files whose data is in no file given, at most 100."""
    unreadable_images: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing at all is wrong with what is there."""
        return self.integrity_ok and not self.damaged and not self.unreadable_images


def verify(
    path: str,
    options: ArchiveOptions | None = None,
    progress: ProgressSink | None = None,
    cancel: CancelToken | None = None,
) -> VerifyReport:
    """Read everything once, on all cores; goes on after damage and reports all of it.

    Raises:
        WimError: The file cannot be opened as a WIM at all.
        CancelledError: ``cancel`` was used.
    """
    with Archive.open(path, options) as archive:
        integrity, integrity_ok = _check_integrity(archive, progress, cancel)
        bad = verify_blobs(archive.blobs, progress, cancel)
        users, missing, unreadable = _walk_images(archive, {blob.info.sha1 for blob in bad})
        infos = list(archive.blobs.blobs())
        return VerifyReport(
            path=path,
            integrity=integrity,
            integrity_ok=integrity_ok,
            blobs=len(infos),
            nbytes=sum(info.uncompressed_size for info in infos),
            damaged=tuple(_damaged(blob, users) for blob in bad),
            missing=tuple(missing),
            unreadable_images=tuple(unreadable),
        )


def _check_integrity(
    archive: Archive, progress: ProgressSink | None, cancel: CancelToken | None
) -> tuple[str, bool]:
    try:
        present = check_integrity(archive.wim, progress, cancel)
    except (IntegrityError, IntegrityTableError) as error:
        return error.message, False
    return "ok" if present else "none", True


def _damaged(blob: BadBlob, users: dict[bytes, list[str]]) -> DamagedBlob:
    info = blob.info
    paths = tuple(users.get(info.sha1, ()))
    if info.is_metadata:
        paths = ("(metadata of an image)",)
    return DamagedBlob(
        sha1=info.sha1.hex(),
        size=info.uncompressed_size,
        offset_in_wim=info.offset if info.solid is None else info.solid.offset_in_wim,
        wim_path=info.path,
        reason=blob.error.message,
        paths=paths,
    )


def _walk_images(
    archive: Archive, bad: set[bytes]
) -> tuple[dict[bytes, list[str]], list[str], list[str]]:
    """Return users of bad blobs, files without their data, and images that cannot be read."""
    users: dict[bytes, list[str]] = {}
    missing: list[str] = []
    unreadable: list[str] = []
    if archive.wim.header.part_number != 1:
        return users, missing, unreadable
    for index in range(1, archive.wim.image_count + 1):
        try:
            metadata = archive.image(index)
            for sha1, dentry in _streams(metadata):
                if sha1 in bad:
                    found = users.setdefault(sha1, [])
                elif archive.blobs.size(sha1) is None:
                    found = missing
                else:
                    continue
                if len(found) < _MAX_PATHS:
                    path = metadata.path(dentry)[:_MAX_PATH_NBYTES]
                    found.append(f"[{index}] {os.fsdecode(path)}")
        except WimError as error:
            unreadable.append(f"image {index}: {error.message}")
    return users, missing, unreadable


def _streams(metadata: ImageMetadata) -> Iterator[tuple[bytes, int]]:
    """Yield the hash of each stream with its dentry, in pre-order; paths would cost far more."""
    columns = metadata.columns
    dentry = ROOT_DENTRY
    while dentry >= 0:
        for sha1 in columns.stream_hashes(columns.ino(dentry)):
            yield sha1, dentry
        dentry = columns.next_in_preorder(dentry)
