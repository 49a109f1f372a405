"""Programs of the user's that have the terminal to themselves: a shell, a pager, an editor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wimtui.service.previews import PREVIEW_NBYTES, as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PAGERS: Final = ("pager", "less", "more")
_EDITORS: Final = ("editor", "nano", "vi")
_COPY_PREFIX: Final = "wimtui-"
_MAX_DECODED_NBYTES: Final = 256 << 20
_READ_SIGNS: Final = 1 << 20


def run_shell(folder: str) -> int:
    """Run the user's shell in a folder and return its exit code when it ends.

    Only the shell enters the folder; this process never does, or it would keep a mount busy.

    Raises:
        OSError: There is no such folder, or no such shell.
    """
    shell = os.environ.get("SHELL") or "/bin/sh"
    print(f"{Path(shell).name} in {folder}; exit brings you back to wimtui", flush=True)
    return _run([shell], folder, {**os.environ, "WIMTUI_MOUNT": folder})


def open_in_pager(path: str) -> int:
    """Show a file in $PAGER and return its exit code when it ends.

    Pagers take UTF-16 for binary: of such text they get a copy in UTF-8.

    Raises:
        OSError: There is no such pager, or none at all.
    """
    pager = _chosen(("PAGER",), _PAGERS)
    decoded = _copy_in_utf8(path)
    try:
        return _run([*pager, decoded or _absolute(path)])
    finally:
        if decoded:
            remove_temporary_copy(decoded)


def open_in_editor(path: str) -> int:
    """Open a file in $VISUAL or $EDITOR and return its exit code when it ends.

    Raises:
        OSError: There is no such editor, or none at all.
    """
    return _run([*_chosen(("VISUAL", "EDITOR"), _EDITORS), _absolute(path)])


def temporary_copy(name: str, pieces: Iterable[bytes]) -> str:
    """Write a file that is not on any disk, such as one of an image, to be looked at.

    It can only be read, so that an editor says at once that changes to it would be lost.

    Args:
        name: What it is to be called, without a folder; editors go by the suffix.
        pieces: Its bytes. Whatever they raise is raised, and nothing is left.

    Returns:
        Its path, for ``remove_temporary_copy`` in the end.

    Raises:
        OSError: It cannot be written.
    """
    folder = Path(tempfile.mkdtemp(prefix=_COPY_PREFIX))
    path = folder / (name if name not in ("", ".", "..") and "/" not in name else "file")
    try:
        with path.open("xb") as file:
            for piece in pieces:
                file.write(piece)
        path.chmod(0o400)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return str(path)


def remove_temporary_copy(path: str) -> None:
    """Remove what ``temporary_copy`` made; harmless for anything else, and when done twice."""
    folder = Path(path).parent
    if folder.name.startswith(_COPY_PREFIX) and folder.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(folder, ignore_errors=True)


def _copy_in_utf8(path: str) -> str:
    """Return a temporary copy of a text in UTF-16, empty for all else."""
    try:
        size = Path(path).stat().st_size
        if size > _MAX_DECODED_NBYTES:
            return ""
        with Path(path).open("rb") as file:
            begin = file.read(PREVIEW_NBYTES)
        found = as_text(begin, is_cut=len(begin) < size)
        if found is None or not found[1].startswith("UTF-16"):
            return ""
        return temporary_copy(Path(path).name, _pieces_in_utf8(path, found[1]))
    except OSError:
        # The pager says why it cannot be read; without room for a copy it shows what there is.
        return ""


def _pieces_in_utf8(path: str, encoding: str) -> Iterator[bytes]:
    with Path(path).open(encoding=encoding, errors="replace", newline="") as file:
        mark = file.read(1)
        yield mark.removeprefix("\ufeff").encode("utf-8", "replace")
        while piece := file.read(_READ_SIGNS):
            yield piece.encode("utf-8", "replace")


def _chosen(variables: tuple[str, ...], usual: tuple[str, ...]) -> list[str]:
    for variable in variables:
        words = shlex.split(os.environ.get(variable, ""))
        if words:
            return words
    for program in usual:
        if shutil.which(program):
            return [program]
    raise FileNotFoundError(2, f"set ${variables[-1]} to one", f"none of {', '.join(usual)}")


def _absolute(path: str) -> str:
    # Relative ones could be taken for options.
    return str(Path(path).absolute())


def _run(
    command: list[str], folder: str | None = None, environment: Mapping[str, str] | None = None
) -> int:
    child = subprocess.Popen(command, cwd=folder, env=environment)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
