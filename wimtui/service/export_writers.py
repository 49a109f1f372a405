"""Where an export is written: a tar archive or a folder."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wimtui.service.change_sources import StreamPiece

_TAR_MODES: Final = {
    ".tar": "x:", ".tar.gz": "x:gz", ".tgz": "x:gz", ".tar.xz": "x:xz", ".txz": "x:xz",
    ".tar.bz2": "x:bz2",
}  # fmt: skip
_NO_MODE: Final = 0o777
"""What files show that store no mode."""


class Writer(Protocol):
    """Where an export goes. Paths have no slash at the beginning."""

    def directory(self, path: str, piece: StreamPiece) -> None:
        """Make a folder. Raises OSError."""
        ...

    def link(self, path: str, target: str, piece: StreamPiece) -> None:
        """Make a symbolic link. Raises OSError."""
        ...

    def file(self, path: str, piece: StreamPiece, pieces: Iterator[bytes]) -> None:
        """Write a file of exactly ``piece.size`` bytes. Raises OSError."""
        ...

    def close(self) -> None:
        """Complete what was written. Raises OSError."""
        ...


def open_writer(name: str, temporary: Path) -> Writer:
    """Return what writes to a temporary path in the format of a name. Raises OSError."""
    for suffix, mode in sorted(_TAR_MODES.items(), key=lambda item: -len(item[0])):
        if name.casefold().endswith(suffix):
            return _TarWriter(temporary, mode)
    return _FolderWriter(temporary)


def _mode(piece: StreamPiece) -> int:
    mode = stat.S_IMODE(piece.mode) & 0o777
    if mode != _NO_MODE or stat.S_ISLNK(piece.mode):
        return mode
    return 0o755 if stat.S_ISDIR(piece.mode) else 0o644


class _TarWriter:
    """A tar archive in the format of POSIX.1-2001."""

    def __init__(self, path: Path, mode: str) -> None:
        self._tar = tarfile.open(  # noqa: SIM115 - closed by close()
            path, mode, format=tarfile.PAX_FORMAT, encoding="utf-8",
            errors="surrogateescape",
        )  # type: ignore[call-overload]  # fmt: skip

    def _info(self, path: str, piece: StreamPiece) -> tarfile.TarInfo:
        info = tarfile.TarInfo(path)
        info.mode = _mode(piece)
        info.mtime = piece.mtime_ns // 1_000_000_000
        return info

    def directory(self, path: str, piece: StreamPiece) -> None:
        """Make a folder."""
        info = self._info(path, piece)
        info.type = tarfile.DIRTYPE
        self._tar.addfile(info)

    def link(self, path: str, target: str, piece: StreamPiece) -> None:
        """Make a symbolic link."""
        info = self._info(path, piece)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(info)

    def file(self, path: str, piece: StreamPiece, pieces: Iterator[bytes]) -> None:
        """Write a file of exactly ``piece.size`` bytes."""
        info = self._info(path, piece)
        info.size = piece.size
        self._tar.addfile(info, _Joined(pieces))

    def close(self) -> None:
        """Complete what was written."""
        self._tar.close()


class _Joined(io.RawIOBase):
    """Pieces of bytes to be read as one file, by small steps."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        if self._at == len(self._piece):
            self._piece, self._at = next(self._pieces, b""), 0
        data = self._piece[self._at : self._at + size]
        self._at += len(data)
        if len(data) < size and data:
            return data + self.read(size - len(data))
        return data


class _FolderWriter:
    """A folder. All in it was made here, so no link in it can lead a file elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._times: list[tuple[Path, int]] = []
        self._made = {folder}
        folder.mkdir()

    def _parent(self, place: Path) -> None:
        above = place.parent
        if above in self._made:
            return
        self._parent(above)
        above.mkdir()
        self._made.add(above)

    def directory(self, path: str, piece: StreamPiece) -> None:
        """Make a folder."""
        place = self._folder / path
        self._parent(place)
        if place not in self._made:
            place.mkdir()
            self._made.add(place)
        self._times.append((place, piece.mtime_ns))

    def link(self, path: str, target: str, piece: StreamPiece) -> None:
        """Make a symbolic link."""
        place = self._folder / path
        self._parent(place)
        place.symlink_to(target)
        _set_time(place, piece.mtime_ns)

    def file(self, path: str, piece: StreamPiece, pieces: Iterator[bytes]) -> None:
        """Write a file of exactly ``piece.size`` bytes."""
        place = self._folder / path
        self._parent(place)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        mode = 0o777 if _mode(piece) & 0o111 else 0o666
        with os.fdopen(os.open(place, flags, mode), "wb", buffering=0) as out:
            for data in pieces:
                out.write(data)
        _set_time(place, piece.mtime_ns)

    def close(self) -> None:
        """Complete what was written."""
        for place, mtime_ns in reversed(self._times):
            _set_time(place, mtime_ns)


def _set_time(place: Path, mtime_ns: int) -> None:
    with contextlib.suppress(OSError, OverflowError):
        os.utime(place, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
