"""Staged changes written out: what was added and modified as files, the rest as a list."""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wimtui.control.errors import RemoteError
from wimtui.engine.errors import CancelledError, UsageError, WimError
from wimtui.service.change_sources import StreamPiece, open_source
from wimtui.service.changes import StagedChange, image_path
from wimtui.service.export_writers import open_writer
from wimtui.service.output_place import whole
from wimtui.service.shell import temporary_copy
from wimtui.service.stagings import find_staged
from wimtui.service.tally import Tally

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
    with open_source(staged) as source:
        _, listed = source.changes()
        found = map(StagedChange.from_json, listed or ())
        wanted = image_path(staged, below)
        changes = [change for change in found if is_below(change.path, wanted)]
        return _Export(source, progress, cancel).run(changes, Path(output))


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
        self._tally = Tally(progress, cancel)

    def run(self, changes: list[StagedChange], place: Path) -> ExportResult:
        present = [change for change in changes if change.kind != "deleted"]
        tally = self._tally
        tally.items_total = len(present)
        tally.bytes_total = sum(change.size_after or 0 for change in present)
        with whole(place) as temporary:
            writer = open_writer(place.name, temporary)
            try:
                self._write_all(writer, changes, present)
            finally:
                writer.close()
        return ExportResult(
            str(place), tally.file_count, tally.directory_count, len(changes) - len(present),
            tally.bytes_done, tuple(tally.skipped), tally.skipped_count,
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
            self._tally.check()
            try:
                self._write(writer, change)
            except CancelledError:
                raise
            except (WimError, RemoteError) as error:
                self._tally.skip(change.path, error.message)
            except OSError as error:
                if error.errno not in _NAME_ERRNOS:
                    raise
                self._tally.skip(change.path, error.strerror or "its name")
            self._tally.items_done += 1
            self._tally.tell(change.path)

    def _write(self, writer: Writer, change: StagedChange) -> None:
        path = change.path.lstrip("/")
        if any(part in ("", ".", "..") for part in path.split("/")):
            if change.path != "/":
                self._tally.skip(change.path, "no name that Linux can hold")
            return
        piece = self._source.read(change.path, "", 0, _READ_NBYTES)
        if change.is_directory != stat.S_ISDIR(piece.mode):
            self._tally.skip(change.path, "it was replaced meanwhile")
        elif change.is_directory:
            writer.directory(path, piece)
            self._tally.directory_count += 1
        elif stat.S_ISLNK(piece.mode):
            writer.link(path, os.fsdecode(piece.data), piece)
            self._tally.bytes_done += piece.size
            self._tally.file_count += 1
        elif stat.S_ISREG(piece.mode):
            writer.file(path, piece, self._pieces(change.path, "", piece))
            self._tally.file_count += 1
        else:
            self._tally.skip(change.path, "a device, fifo or socket")
        for stream in piece.named_streams:
            self._write_stream(writer, change, stream)

    def _write_stream(self, writer: Writer, change: StagedChange, stream: str) -> None:
        path = f"{change.path}:{stream}"
        if "/" in stream:
            self._tally.skip(path, "no name that Linux can hold")
            return
        piece = self._source.read(change.path, stream, 0, _READ_NBYTES)
        self._tally.bytes_total += piece.size
        writer.file(path.lstrip("/"), piece, self._pieces(change.path, stream, piece))
        self._tally.file_count += 1

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
            self._tally.bytes_done += len(data)
            yield data
            self._tally.check()
            self._tally.tell(path)

    def _more(self, path: str, stream: str, offset: int) -> bytes:
        zeros = f"zeros from offset {offset:,} on"
        try:
            data = self._source.read(path, stream, offset, _READ_NBYTES).data
        except (WimError, RemoteError) as error:
            self._tally.skip(path, f"{error.message}; {zeros}")
            return b""
        if not data:
            self._tally.skip(path, f"it became shorter; {zeros}")
        return data
