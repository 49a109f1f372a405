"""Files and folders of an image written to a folder, without a mount."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.engine.errors import WimError
from wimtui.engine.timestamps import ticks_to_ns
from wimtui.engine.tree import Ino
from wimtui.service.output_place import whole
from wimtui.service.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.progress import CancelToken, ProgressSink
    from wimtui.service.browse import ImageSession

_READ_NBYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """What was written."""

    path: str
    file_count: int
    directory_count: int
    nbytes: int
    skipped: tuple[str, ...]
    """Paths with the reason; the first 100."""
    skipped_count: int


def extract(
    session: ImageSession,
    dentry: int,
    folder: str,
    progress: ProgressSink | None = None,
    cancel: CancelToken | None = None,
) -> ExtractResult:
    """Write a file, or a directory with all below it, into a folder under its own name.

    Everything goes to a hidden name first and gets its own at the end, so what has the name is
    whole. Data that cannot be read is skipped and reported; named streams and security are not
    written.

    Raises:
        NodeExistsError: The name is taken.
        WriteFailedError: The folder cannot be written.
        CancelledError: ``cancel`` was used; nothing is left.
    """
    return _Extraction(session, progress, cancel).run(dentry, Path(folder))


class _Extraction:
    """One run of extract."""

    def __init__(
        self, session: ImageSession, progress: ProgressSink | None, cancel: CancelToken | None
    ) -> None:
        self._session = session
        self._columns = session.metadata.columns
        self._tally = Tally(progress, cancel)
        self._written: dict[int, Path] = {}

    def run(self, dentry: int, folder: Path) -> ExtractResult:
        name = os.fsdecode(self._columns.name(dentry)) or f"image-{self._session.index}"
        target = folder / name
        with whole(target) as temporary:
            self._write_all(dentry, temporary)
        tally = self._tally
        return ExtractResult(
            str(target), tally.file_count, tally.directory_count, tally.bytes_done,
            tuple(tally.skipped), tally.skipped_count,
        )  # fmt: skip

    def _write_all(self, top: int, target: Path) -> None:
        directories: list[tuple[int, Path]] = []
        files: list[tuple[tuple[int, int, int], int, Path]] = []
        for dentry, path in self._below(top, target):
            self._tally.check()
            if self._columns.is_directory(dentry):
                path.mkdir()
                directories.append((dentry, path))
            else:
                files.append((self._place(dentry), dentry, path))
                self._tally.bytes_total += self._session.entry(dentry).size
        self._tally.items_total = len(files)
        # In the order of the file: a solid resource is then decoded once.
        files.sort(key=lambda one: one[0])
        for _, dentry, path in files:
            self._write(dentry, path)
            self._tally.items_done += 1
        for dentry, path in reversed(directories):
            self._set_times(dentry, path)
        self._tally.directory_count = len(directories)

    def _below(self, top: int, target: Path) -> Iterator[tuple[int, Path]]:
        paths = {top: target}
        yield top, target
        end = self._columns.next_in_preorder(top, descend=False)
        dentry = self._columns.next_in_preorder(top)
        while dentry not in (-1, end):
            if self._columns.is_hidden(dentry):
                # Such a name may hold slashes: it never becomes part of a path.
                self._skip(dentry, "no name that Linux can hold")
                dentry = self._columns.next_in_preorder(dentry, descend=False)
                continue
            path = paths[self._columns.parent(dentry)] / os.fsdecode(self._columns.name(dentry))
            if self._columns.is_directory(dentry):
                paths[dentry] = path
            yield dentry, path
            dentry = self._columns.next_in_preorder(dentry)

    def _place(self, dentry: int) -> tuple[int, int, int]:
        sha1 = self._columns.content_sha1(self._columns.first_dentry(self._columns.ino(dentry)))
        blob = self._session.archive.blobs.describe(sha1)
        if blob is None:
            return (0, 0, 0)
        if blob.solid is None:
            return (blob.part_number, blob.offset, 0)
        return (blob.part_number, blob.solid.offset_in_wim, blob.offset_in_resource)

    def _write(self, dentry: int, path: Path) -> None:
        ino = self._columns.ino(dentry)
        known = self._written.get(ino)
        try:
            if known is not None:
                os.link(known, path, follow_symlinks=False)
            elif self._columns.node_type(dentry) == stat.S_IFLNK:
                path.symlink_to(os.fsdecode(self._session.view.read_link(Ino(ino))))
                self._written[ino] = path
                self._set_times(dentry, path)
            elif self._columns.node_type(dentry) == stat.S_IFDIR:
                self._skip(dentry, "a reparse point that only Windows knows")
                return
            else:
                self._copy(Ino(ino), path)
                self._written[ino] = path
                self._set_times(dentry, path)
        except WimError as error:
            if self._tally.is_cancelled:
                raise
            path.unlink(missing_ok=True)
            self._skip(dentry, error.message)
            return
        self._tally.file_count += 1

    def _copy(self, ino: Ino, path: Path) -> None:
        file = self._session.view.open_file(ino)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, 0o666), "wb", buffering=0) as out:
                offset = 0
                while piece := file.read(offset, _READ_NBYTES):
                    self._tally.check()
                    out.write(piece)
                    offset += len(piece)
                    self._tally.bytes_done += len(piece)
                    self._tally.tell(str(path))
        finally:
            file.close()

    def _set_times(self, dentry: int, path: Path) -> None:
        first = self._columns.first_dentry(self._columns.ino(dentry))
        _, accessed, written = self._columns.times(first)
        with contextlib.suppress(OSError, OverflowError):
            os.utime(path, ns=(ticks_to_ns(accessed), ticks_to_ns(written)), follow_symlinks=False)

    def _skip(self, dentry: int, reason: str) -> None:
        self._tally.skip(os.fsdecode(self._session.metadata.path(dentry)), reason)
