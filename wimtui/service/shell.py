"""Programs of the user's that have the terminal to themselves: a shell, a pager, an editor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PAGERS: Final = ("pager", "less", "more")
_EDITORS: Final = ("editor", "nano", "vi")
_COPY_PREFIX: Final = "wimtui-"


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

    Raises:
        OSError: There is no such pager, or none at all.
    """
    return _run([*_chosen(("PAGER",), _PAGERS), _absolute(path)])


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
