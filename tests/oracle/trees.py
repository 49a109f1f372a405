"""What two directory trees have in common, compared file by file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Node:
    """What one name of a tree shows."""

    kind: str
    size: int
    mtime_ns: int
    nlink: int
    content: str
    owner: tuple[int, ...]


def _digest(path: Path) -> str:
    sha1 = hashlib.sha1()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            sha1.update(piece)
    return sha1.hexdigest()


def snapshot(root: Path, *, owners: bool = False) -> tuple[dict[str, Node], set[frozenset[str]]]:
    """Return every name below ``root`` with what it shows, and the groups of hard links.

    Targets of links that start with ``root`` are given relative to it, since both an applied and
    a mounted tree rewrite them for where they are.
    """
    nodes: dict[str, Node] = {}
    inodes: dict[tuple[int, int], set[str]] = defaultdict(set)
    for folder, directories, files in os.walk(root):
        for name in [*directories, *files]:
            path = Path(folder, name)
            relative = str(path.relative_to(root))
            info = path.lstat()
            nodes[relative] = _node(root, path, info, owners)
            if not stat.S_ISDIR(info.st_mode):
                inodes[info.st_dev, info.st_ino].add(relative)
    return nodes, {frozenset(names) for names in inodes.values() if len(names) > 1}


def _node(root: Path, path: Path, info: os.stat_result, owners: bool) -> Node:
    content = ""
    size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
    if stat.S_ISREG(info.st_mode):
        content = _digest(path)
    elif stat.S_ISLNK(info.st_mode):
        target = os.readlink(path)
        assert size == len(os.fsencode(target))
        content = target.replace(str(root), "<root>", 1) if target.startswith(str(root)) else target
        size = len(content)
    owner = (info.st_mode, info.st_uid, info.st_gid, info.st_rdev) if owners else ()
    directory = stat.S_ISDIR(info.st_mode)
    return Node(
        kind=stat.filemode(info.st_mode)[0],
        size=size,
        mtime_ns=info.st_mtime_ns,
        nlink=0 if directory else info.st_nlink,
        content=content,
        owner=owner,
    )


def differences(ours: dict[str, Node], theirs: dict[str, Node]) -> list[str]:
    """Return one line for each name that is missing, extra or different."""
    lines = [f"missing: {name}" for name in sorted(theirs.keys() - ours.keys())]
    lines += [f"extra: {name}" for name in sorted(ours.keys() - theirs.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name] != theirs[name]:
            lines.append(f"{name}: {ours[name]} against {theirs[name]}")
    return lines
