"""A process that changes a staging folder and says what was done, to be killed at any moment.

Run as ``python storm.py REPOSITORY STAGING WIM SEED``; prints a line after each operation that was
answered.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path


def main(repository: str, staging: str, wim: str, seed: str) -> None:
    sys.path.insert(0, repository)
    from tests.staging.base_image import FILE, FOLDER
    from wimtui.engine.archive import Archive
    from wimtui.engine.staging.overlay import Overlay
    from wimtui.engine.staging.store import StagingStore
    from wimtui.engine.tree import ROOT_INO, AttributeChanges, Ino, RenameMode, XattrMode

    archive = Archive.open(wim)
    overlay = Overlay(archive.image(1), archive.blobs, StagingStore.open(Path(staging)))
    rng = random.Random(seed)
    files = [name.decode() for name, _ in overlay.list_directory(ROOT_INO) if name[:1] == b"f"]

    def done(*words: object) -> None:
        sys.stdout.write(" ".join(map(str, words)) + "\n")
        sys.stdout.flush()

    def ino(name: str) -> Ino:
        found = overlay.lookup(ROOT_INO, name.encode())
        assert found is not None
        return found

    done("ready")
    for count in range(100_000):
        what = rng.randrange(7)
        if what <= 1 or not files:
            name = f"f{seed}-{count}"
            overlay.create_node(ROOT_INO, name.encode(), FILE)
            files.append(name)
            done("create", name)
            continue
        name = rng.choice(files)
        if what == 2:
            data = rng.randbytes(rng.randrange(1, 5000))
            file = overlay.open_for_writing(ino(name))
            offset = rng.randrange(3000)
            # The line first: what was written, but not answered, may be there or not.
            done("writing", name, offset, data.hex())
            file.write(offset, data)
            file.close()
            done("wrote", name)
        elif what == 3:
            new = f"f{seed}-{count}"
            done("renaming", name, new)
            overlay.rename(ROOT_INO, name.encode(), ROOT_INO, new.encode(), RenameMode.NO_REPLACE)
            files[files.index(name)] = new
            done("renamed", name, new)
        elif what == 4:
            done("removing", name)
            overlay.forget(overlay.unlink(ROOT_INO, name.encode()))
            files.remove(name)
            done("removed", name)
        elif what == 5:
            size = rng.randrange(4000)
            done("cutting", name, size)
            overlay.change(ino(name), AttributeChanges(size=size))
            done("cut", name)
        else:
            value = rng.randbytes(10)
            done("setting", name, value.hex())
            overlay.set_xattr(ino(name), b"user.x", value, XattrMode.ANY)
            overlay.make_directory(ROOT_INO, f"d{seed}-{count}".encode(), FOLDER)
            done("set", name, f"d{seed}-{count}")


if __name__ == "__main__":
    main(*sys.argv[1:])
