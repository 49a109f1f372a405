"""A WIM with very many files, made in seconds: they all have the same few contents."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_large_wim(path: Path, files: int) -> Path:
    """Capture two folders with half of the files each, all of them empty."""
    source = path.with_suffix(".source")
    for folder in ("first", "second"):
        target = source / folder
        target.mkdir(parents=True)
        for number in range(files // 2):
            (target / f"file {number:06}.dat").touch()
    subprocess.run(
        ["wimlib-imagex", "capture", source, path, "large", "--compress=XPRESS"],
        check=True,
        capture_output=True,
    )
    return path
