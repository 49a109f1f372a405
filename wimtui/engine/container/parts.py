"""Parts of split sets, and other WIM files given as references."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.engine.container.wim_file import WimFile
from wimtui.engine.errors import GlobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wimtui.engine.container.wim_file import OpenOptions


def expand_references(patterns: Iterable[str]) -> list[str]:
    """Return the paths that patterns of ``--ref`` name, sorted within each pattern.

    A pattern that names an existing file, or has no wildcard, is that path.

    Raises:
        GlobError: A pattern with wildcards matches nothing.
    """
    paths: list[str] = []
    for pattern in patterns:
        if not glob.has_magic(pattern) or Path(pattern).exists():
            paths.append(pattern)
            continue
        # Path.glob refuses absolute patterns.
        matches = sorted(path for path in glob.glob(pattern) if not Path(path).is_dir())  # noqa: PTH207
        if not matches:
            raise GlobError(f"no file matches {pattern!r}", hint="check the pattern of --ref")
        paths += matches
    return list(dict.fromkeys(paths))


def open_references(
    main: WimFile, patterns: Iterable[str], options: OpenOptions | None = None
) -> list[WimFile]:
    """Open the files that patterns name; any WIM will do, and ``main`` itself is left out.

    Raises:
        GlobError: A pattern with wildcards matches nothing.
        WimError: A file cannot be opened as a WIM; the others are closed again.
    """
    seen = {(main.file.device, main.file.inode)}
    opened: list[WimFile] = []
    try:
        for path in expand_references(patterns):
            wim = WimFile.open(path, options)
            identity = (wim.file.device, wim.file.inode)
            if identity in seen:
                wim.close()
                continue
            seen.add(identity)
            opened.append(wim)
    except BaseException:
        for wim in opened:
            wim.close()
        raise
    return opened


def missing_parts(files: Sequence[WimFile]) -> list[int]:
    """Return the numbers of the parts of the first file's set that are not among the files."""
    main = files[0].header
    present = {wim.header.part_number for wim in files if wim.header.guid == main.guid}
    return [number for number in range(1, main.total_parts + 1) if number not in present]


def missing_blob_reason(files: Sequence[WimFile]) -> tuple[str, str]:
    """Return why a blob may be in none of the files, and what the user can do."""
    main = files[0]
    total = main.header.total_parts
    missing = missing_parts(files)
    if not missing:
        reason = "this is a delta WIM" if len(files) == 1 else "not even in the references"
        return reason, "give the WIM that it builds on with --ref"
    reason = f"{_parts(missing, total)} missing"
    foreign = [
        f"{wim.path} is part {wim.header.part_number} of another set"
        for wim in files[1:]
        if wim.header.total_parts > 1 and wim.header.guid != main.header.guid
    ]
    path = Path(main.path)
    stem = path.stem
    if main.header.part_number > 1:
        stem = stem.removesuffix(str(main.header.part_number))
    pattern = path.with_name(f"{glob.escape(stem)}*{path.suffix}")
    return "; ".join([reason, *foreign]), f"give all parts, such as --ref '{pattern}'"


def _parts(numbers: list[int], total: int) -> str:
    if len(numbers) == 1:
        return f"part {numbers[0]} of {total} is"
    shown = ", ".join(map(str, numbers[:8]))
    more = "" if len(numbers) <= 8 else f" and {len(numbers) - 8} more"
    return f"parts {shown}{more} of {total} are"
