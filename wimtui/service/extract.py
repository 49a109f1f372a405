"""Files and folders of an image written to a folder, without a mount."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.engine.errors import NodeExistsError, WimError, WriteFailedError
from wimtui.engine.progress import Phase, Progress
from wimtui.engine.timestamps import ticks_to_ns
from wimtui.engine.tree import Ino

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.progress import CancelToken, ProgressSink
    from wimtui.service.browse import ImageSession

_READ_NBYTES = 1 << 20
_MAX_SKIPPED = 100


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
        self._progress = progress
        self._cancel = cancel
        self._bytes_done = self._bytes_total = 0
        self._items_done = self._items_total = 0
        self._file_count = self._directory_count = 0
        self._skipped: list[str] = []
        self._skipped_count = 0
        self._written: dict[int, Path] = {}

    def run(self, dentry: int, folder: Path) -> ExtractResult:
        name = os.fsdecode(self._columns.name(dentry)) or f"image-{self._session.index}"
        target = folder / name
        if os.path.lexists(target):
            raise NodeExistsError(
                "the name is taken", path=target, hint="choose another folder, or remove it"
            )
        temporary = folder / f".{name[:200]}.{os.getpid()}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write_all(dentry, temporary)
            temporary.rename(target)
        except OSError as error:
            _remove(temporary)
            raise WriteFailedError(
                error.strerror or "cannot be written", path=error.filename or target
            ) from error
        except BaseException:
            _remove(temporary)
            raise
        return ExtractResult(
            str(target), self._file_count, self._directory_count, self._bytes_done,
            tuple(self._skipped), self._skipped_count,
        )  # fmt: skip

    def _write_all(self, top: int, target: Path) -> None:
        directories: list[tuple[int, Path]] = []
        files: list[tuple[tuple[int, int, int], int, Path]] = []
        for dentry, path in self._below(top, target):
            self._check()
            if self._columns.is_directory(dentry):
                path.mkdir()
                directories.append((dentry, path))
            else:
                files.append((self._place(dentry), dentry, path))
                self._bytes_total += self._session.entry(dentry).size
        self._items_total = len(files)
        # In the order of the file: a solid resource is then decoded once.
        files.sort(key=lambda one: one[0])
        for _, dentry, path in files:
            self._write(dentry, path)
            self._items_done += 1
        for dentry, path in reversed(directories):
            self._set_times(dentry, path)
        self._directory_count = len(directories)

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
            if self._cancel is not None and self._cancel.cancelled:
                raise
            path.unlink(missing_ok=True)
            self._skip(dentry, error.message)
            return
        self._file_count += 1

    def _copy(self, ino: Ino, path: Path) -> None:
        file = self._session.view.open_file(ino)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, 0o666), "wb", buffering=0) as out:
                offset = 0
                while piece := file.read(offset, _READ_NBYTES):
                    self._check()
                    out.write(piece)
                    offset += len(piece)
                    self._bytes_done += len(piece)
                    self._tell(path)
        finally:
            file.close()

    def _set_times(self, dentry: int, path: Path) -> None:
        first = self._columns.first_dentry(self._columns.ino(dentry))
        _, accessed, written = self._columns.times(first)
        with contextlib.suppress(OSError, OverflowError):
            os.utime(path, ns=(ticks_to_ns(accessed), ticks_to_ns(written)), follow_symlinks=False)

    def _skip(self, dentry: int, reason: str) -> None:
        self._skipped_count += 1
        if len(self._skipped) < _MAX_SKIPPED:
            path = os.fsdecode(self._session.metadata.path(dentry))
            self._skipped.append(f"{path}: {reason}")

    def _check(self) -> None:
        if self._cancel is not None:
            self._cancel.check()

    def _tell(self, path: Path) -> None:
        if self._progress is not None:
            self._progress(
                Progress(
                    Phase.EXTRACT, self._bytes_done, self._bytes_total,
                    self._items_done, self._items_total, str(path),
                )
            )  # fmt: skip


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
