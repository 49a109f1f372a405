"""Names in folders of the machine, for completion."""

from __future__ import annotations

import os
from pathlib import Path

_MAX_ENTRIES = 20_000
"""Of a folder with more than this only the first are looked at."""


def list_folder(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the names of folders, each with a slash, and of files with one of the suffixes.

    A folder that cannot be read has none.
    """
    found = []
    try:
        with os.scandir(Path(folder or ".").expanduser()) as entries:
            for entry, _ in zip(entries, range(_MAX_ENTRIES), strict=False):
                if entry.is_dir():
                    found.append(entry.name + "/")
                elif suffixes and entry.name.lower().endswith(suffixes):
                    found.append(entry.name)
    except OSError:
        return []
    return sorted(found)
