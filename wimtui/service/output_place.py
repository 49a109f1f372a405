"""Where files are written out: whole under their name, or not there at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from wimtui.engine.errors import NodeExistsError, WriteFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def whole(place: Path) -> Iterator[Path]:
    """Yield a hidden name to write to, which becomes ``place`` once everything is written.

    Raises:
        NodeExistsError: The name is taken, before or meanwhile.
        WriteFailedError: It cannot be written; nothing is left.
    """
    _require_free(place)
    temporary = place.with_name(f".{place.name[:200]}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _require_free(place)
        temporary.rename(place)
    except OSError as error:
        _remove(temporary)
        raise WriteFailedError(
            error.strerror or "cannot be written", path=error.filename or place
        ) from error
    except BaseException:
        _remove(temporary)
        raise


def _require_free(place: Path) -> None:
    if os.path.lexists(place):
        raise NodeExistsError(
            "the name is taken", path=place, hint="choose another, or remove it first"
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
