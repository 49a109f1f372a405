"""Staged changes written out: what was added and modified as files, the rest as a list."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wimtui.control.errors import RemoteError
from wimtui.engine.errors import (
    CancelledError,
    NodeExistsError,
    UsageError,
    WimError,
    WriteFailedError,
)
from wimtui.engine.progress import Phase, Progress
from wimtui.service.change_sources import StreamPiece, open_source
from wimtui.service.changes import StagedChange, image_path
from wimtui.service.export_writers import open_writer
from wimtui.service.shell import temporary_copy
from wimtui.service.stagings import find_staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.progress import CancelToken, ProgressSink
    from wimtui.service.change_sources import ChangeSource
    from wimtui.service.export_writers import Writer

LIST_NAME: Final = ".wimtui-changes"
"""The list of all changes, at the top of what is written: one a line, its parts parted by tabs.

The letter ``A``, ``M``, ``D`` or ``R``; the path, with a slash at the end of a folder; of something
renamed the old path before it; then what of it changed, parted by commas. In paths a backslash, tab
or newline is ``\\\\``, ``\\t`` or ``\\n``.
"""

_NAME_ERRNOS: Final = frozenset({errno.EEXIST, errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG})
"""What is wrong with one name and no reason to give up the others."""

MAX_COPY_NBYTES: Final = 256 << 20
"""Of a file to be looked at."""

_READ_NBYTES: Final = 4 << 20
_MAX_SKIPPED: Final = 100
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written."""

    path: str
    file_count: int
    """Links included, and each named stream."""
    directory_count: int
    deleted_count: int
    """Names that are only in the list."""
    nbytes: int
    skipped: tuple[str, ...]
    """Paths with the reason; the first 100."""
    skipped_count: int

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def export_changes(
    target: str,
    output: str,
    below: str = "/",
    progress: ProgressSink | None = None,
    cancel: CancelToken | None = None,
) -> ExportResult:
    """Write staged changes into a folder or a tar archive that does not exist yet.

    Added and modified files and links are written with the path that they have in the image, named
    streams beside them as ``file:stream``; what was renamed with its new path, of a folder only
    what lies in it and changed itself. Everything, deletions too, is in the list ``LIST_NAME``. It
    works on mounts that live, asking their daemon, and on those that only left their staging
    folder. What changes meanwhile is written as it was before or after.

    Args:
        target: Mount point, mount id or staging folder.
        output: ``.tar``, ``.tar.gz``, ``.tgz``, ``.tar.xz``, ``.txz`` and ``.tar.bz2`` make an
            archive, any other name a folder.
        below: Only what has this path or lies below it: from the image's root, or below the
            mount point.
        progress: Told how far it is.
        cancel: To stop it.

    Raises:
        NodeExistsError: The name is taken.
        WriteFailedError: The output cannot be written.
        CancelledError: ``cancel`` was used; nothing is left.
        NotAMountError: Nothing is mounted or staged there.
    """
    staged = find_staged(target)
    place = Path(output)
    if os.path.lexists(place):
        raise NodeExistsError(
            "the name is taken", path=place, hint="choose another, or remove it first"
        )
    with open_source(staged) as source:
        _, listed = source.changes()
        found = map(StagedChange.from_json, listed or ())
        wanted = image_path(staged, below)
        changes = [change for change in found if is_below(change.path, wanted)]
        return _Export(source, progress, cancel).run(changes, place)


def copy_of_staged(target: str, path: str, *, before: bool = False) -> str:
    """Return the path of a temporary copy of a changed file, to be looked at.

    Args:
        target: Mount point, mount id or staging folder.
        path: From the root of the image.
        before: As the image has it, instead of as it is staged.

    Raises:
        NodeNotFoundError: There is no such file.
        UsageError: It is too large for a temporary folder.
        OSError: The copy cannot be written.
    """
    with open_source(find_staged(target)) as source:
        first = source.read(path, "", 0, _READ_NBYTES, before=before)
        if first.size > MAX_COPY_NBYTES:
            raise UsageError(
                f"{first.size:,} bytes are too many for a temporary copy",
                path=path,
                hint="export the changes, or open the file in a mount",
            )

        def pieces() -> Iterator[bytes]:
            offset, data = 0, first.data
            while data:
                yield data
                offset += len(data)
                left = first.size - offset
                data = b""
                if left > 0:
                    data = source.read(path, "", offset, _READ_NBYTES, before=before).data

        return temporary_copy(path.rpartition("/")[2], pieces())


def is_below(path: str, folder: str) -> bool:
    """Whether a path is another one or lies below it."""
    return folder == "/" or path == folder or path.startswith(folder.rstrip("/") + "/")


def change_list(changes: list[StagedChange]) -> str:
    """Return the text of ``LIST_NAME``."""
    lines = []
    for change in changes:
        slash = "/" if change.is_directory and change.path != "/" else ""
        parts = [change.kind[0].upper()]
        if change.old_path is not None:
            parts.append(change.old_path.translate(_ESCAPES) + slash)
        parts += [change.path.translate(_ESCAPES) + slash, ",".join(change.what)]
        lines.append("\t".join(parts).rstrip("\t") + "\n")
    return "".join(lines)


class _Export:
    """One run of export_changes."""

    def __init__(
        self, source: ChangeSource, progress: ProgressSink | None, cancel: CancelToken | None
    ) -> None:
        self._source = source
        self._progress = progress
        self._cancel = cancel
        self._bytes_done = self._bytes_total = 0
        self._items_done = self._items_total = 0
        self._file_count = self._directory_count = 0
        self._skipped: list[str] = []
        self._skipped_count = 0

    def run(self, changes: list[StagedChange], place: Path) -> ExportResult:
        present = [change for change in changes if change.kind != "deleted"]
        self._items_total = len(present)
        self._bytes_total = sum(change.size_after or 0 for change in present)
        temporary = place.with_name(f".{place.name[:200]}.{os.getpid()}.part")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            writer = open_writer(place.name, temporary)
            try:
                self._write_all(writer, changes, present)
            finally:
                writer.close()
            if os.path.lexists(place):
                raise NodeExistsError("the name was taken meanwhile", path=place)
            temporary.rename(place)
        except OSError as error:
            _remove(temporary)
            raise WriteFailedError(error.strerror or "cannot be written", path=place) from error
        except BaseException:
            _remove(temporary)
            raise
        return ExportResult(
            str(place), self._file_count, self._directory_count, len(changes) - len(present),
            self._bytes_done, tuple(self._skipped), self._skipped_count,
        )  # fmt: skip

    def _write_all(
        self, writer: Writer, changes: list[StagedChange], present: list[StagedChange]
    ) -> None:
        text = change_list(changes).encode("utf-8", "surrogateescape")
        name = LIST_NAME
        while any(change.path == f"/{name}" for change in present):
            name += "~"
        listing = StreamPiece(b"", len(text), stat.S_IFREG | 0o644, time.time_ns(), ())
        writer.file(name, listing, iter([text]))
        for change in sorted(present, key=lambda one: (not one.is_directory, one.path)):
            self._check()
            try:
                self._write(writer, change)
            except CancelledError:
                raise
            except (WimError, RemoteError) as error:
                self._skip(change.path, error.message)
            except OSError as error:
                if error.errno not in _NAME_ERRNOS:
                    raise
                self._skip(change.path, error.strerror or "its name")
            self._items_done += 1
            self._tell(change.path)

    def _write(self, writer: Writer, change: StagedChange) -> None:
        path = change.path.lstrip("/")
        if any(part in ("", ".", "..") for part in path.split("/")):
            if change.path != "/":
                self._skip(change.path, "no name that Linux can hold")
            return
        piece = self._source.read(change.path, "", 0, _READ_NBYTES)
        if change.is_directory != stat.S_ISDIR(piece.mode):
            self._skip(change.path, "it was replaced meanwhile")
        elif change.is_directory:
            writer.directory(path, piece)
            self._directory_count += 1
        elif stat.S_ISLNK(piece.mode):
            writer.link(path, os.fsdecode(piece.data), piece)
            self._bytes_done += piece.size
            self._file_count += 1
        elif stat.S_ISREG(piece.mode):
            writer.file(path, piece, self._pieces(change.path, "", piece))
            self._file_count += 1
        else:
            self._skip(change.path, "a device, fifo or socket")
        for stream in piece.named_streams:
            self._write_stream(writer, change, stream)

    def _write_stream(self, writer: Writer, change: StagedChange, stream: str) -> None:
        path = f"{change.path}:{stream}"
        if "/" in stream:
            self._skip(path, "no name that Linux can hold")
            return
        piece = self._source.read(change.path, stream, 0, _READ_NBYTES)
        self._bytes_total += piece.size
        writer.file(path.lstrip("/"), piece, self._pieces(change.path, stream, piece))
        self._file_count += 1

    def _pieces(self, path: str, stream: str, first: StreamPiece) -> Iterator[bytes]:
        """Yield exactly as many bytes as the first piece says, whatever becomes of the file."""
        offset, is_lost = 0, False
        data = first.data
        while offset < first.size:
            if offset and not is_lost:
                data = self._more(path, stream, offset)
            if not data or is_lost:
                is_lost = True
                data = bytes(min(first.size - offset, _READ_NBYTES))
            data = data[: first.size - offset]
            offset += len(data)
            self._bytes_done += len(data)
            yield data
            self._check()
            self._tell(path)

    def _more(self, path: str, stream: str, offset: int) -> bytes:
        zeros = f"zeros from offset {offset:,} on"
        try:
            data = self._source.read(path, stream, offset, _READ_NBYTES).data
        except (WimError, RemoteError) as error:
            self._skip(path, f"{error.message}; {zeros}")
            return b""
        if not data:
            self._skip(path, f"it became shorter; {zeros}")
        return data

    def _skip(self, path: str, reason: str) -> None:
        self._skipped_count += 1
        if len(self._skipped) < _MAX_SKIPPED:
            self._skipped.append(f"{path}: {reason}")

    def _check(self) -> None:
        if self._cancel is not None:
            self._cancel.check()

    def _tell(self, path: str) -> None:
        if self._progress is not None:
            self._progress(
                Progress(
                    Phase.EXTRACT, self._bytes_done, self._bytes_total,
                    self._items_done, self._items_total, path,
                )
            )  # fmt: skip


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
