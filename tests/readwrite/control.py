"""A mount and a plain folder that get the same operations, and must show the same."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections import defaultdict
from pathlib import Path

TICK_NS = 100


def shown(
    root: Path, copied_from: tuple[Path, ...] = (), *, times: bool = False, owners: bool = False
) -> dict[str, tuple[object, ...]]:
    """Return every name below a folder with all that it shows.

    Args:
        root: The folder.
        copied_from: Where it was copied from, to which its absolute links may still lead.
        times: Also modification times, in the ticks that a WIM has.
        owners: Also owner, group and mode.
    """
    found: dict[str, tuple[object, ...]] = {}
    linked: dict[int, list[str]] = defaultdict(list)
    for folder, directories, files in os.walk(root):
        for name in [*directories, *files]:
            path = Path(folder, name)
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode)
            content = _content(path, kind)
            if isinstance(content, str):
                # Absolute links lead to where the image is, or was when copied, mounted.
                for place in (root, *copied_from):
                    content = content.replace(str(place), "<root>")
            facts: list[object] = [stat.filemode(kind)[0], content]
            if times and kind != stat.S_IFLNK:
                facts.append(status.st_mtime_ns // TICK_NS)
            if owners:
                facts += [stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid]
                facts.append(status.st_rdev)
            relative = str(path.relative_to(root))
            if kind != stat.S_IFDIR and status.st_nlink > 1:
                linked[status.st_ino].append(relative)
            found[relative] = (*facts, status.st_nlink if kind != stat.S_IFDIR else 0)
    for names in linked.values():
        for name in names:
            found[name] = (*found[name], tuple(sorted(names)))
    return found


def _content(path: Path, kind: int) -> object:
    if kind == stat.S_IFLNK:
        return os.readlink(path)
    if kind == stat.S_IFREG:
        data = path.read_bytes()
        return (path.lstat().st_size, len(data), hashlib.sha1(data).hexdigest())
    return None


def assert_same(mount: Path, control: Path, *, times: bool = False, owners: bool = False) -> None:
    """Compare two trees; fail with the first differences."""
    ours = shown(mount, times=times, owners=owners)
    theirs = shown(control, (mount,), times=times, owners=owners)
    differing = [
        f"{name}: {ours.get(name)} against {theirs.get(name)}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    assert not differing, "\n".join(differing[:20])


def linux_like_tree(root: Path, seed: int = 1, files: int = 1500) -> None:
    """Make a tree like a source tree: deep, with links, empty and executable files, odd names."""
    rng = random.Random(seed)
    root.mkdir()
    folders = [root]
    for number in range(files // 12):
        folder = rng.choice(folders[-40:]) / f"dir-{number:03d}"
        folder.mkdir()
        folders.append(folder)
    made: list[Path] = []
    for number in range(files):
        folder = rng.choice(folders)
        name = rng.choice(
            [f"file-{number}.c", f"Datei-ä-{number}", f"NAME {number}", f".h{number}"]
        )
        path = folder / name
        kind = rng.random()
        if kind < 0.05:
            path.symlink_to(rng.choice(["../Makefile", name[::-1] or "x", "dir-000"]))
        elif kind < 0.1 and made:
            os.link(rng.choice(made), path)
        else:
            size = 0 if kind < 0.15 else int(rng.lognormvariate(8, 1.5)) % 300_000
            path.write_bytes(rng.randbytes(size))
            path.chmod(rng.choice([0o644, 0o755, 0o600]))
            made.append(path)
    for path in [*made, *folders[:0:-1]]:
        ns = rng.randrange(10**9, 1_700_000_000) * 10**9 + rng.randrange(10**9)
        os.utime(path, ns=(ns, ns))
