"""What wimlib-imagex says of an image, in a form to compare."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.oracle.wims import wimlib

if TYPE_CHECKING:
    from pathlib import Path

MOVES = re.compile(r"^(Offset in WIM|Compressed size|Reference Count|Flags|Link Group ID) .*$")
SOLID_LINE = re.compile(r"^(Raw|Solid|.*[Ss]olid|Part Number).*$")


def detailed(path: Path, image: int, refs: list[str]) -> dict[str, str]:
    """``dir --detailed`` by file, without what depends on the place in the WIM."""
    text = wimlib("dir", path, str(image), "--detailed", *refs)
    found = {}
    for block in text.split("-" * 76 + "\n"):
        lines = [
            line
            for line in block.splitlines()
            if not MOVES.match(line) and not SOLID_LINE.match(line)
        ]
        path_line = next((line for line in lines if line.startswith("Full Path")), None)
        if path_line is not None:
            found[path_line.partition('"')[2].rstrip('"')] = "\n".join(lines)
    return found


def counters(info: str) -> dict[str, str]:
    found: dict[str, str] = defaultdict(str)
    for line in info.splitlines():
        key, _, value = line.partition(":")
        if key in ("Directory Count", "File Count", "Total Bytes", "Hard Link Bytes", "Name"):
            found[key] = value.strip()
    return found
