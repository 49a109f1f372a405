"""The image that a model test begins with, and the model of it."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from tests.staging.base_image import TICKS, ImageBuilder
from tests.staging.model import Model, ModelNode
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.reparse import RP_FLAG_NOT_FIXED, ReparseTag, symlink_blob
from wimtui.engine.timestamps import ticks_to_ns

if TYPE_CHECKING:
    from pathlib import Path

BASE_FILES = {
    b"/a": b"alpha\n" * 1000,
    b"/b": b"",
    b"/sub/a": bytes(range(256)) * 300,
    b"/sub/sub/b": b"deep",
    b"/B/long name.txt": b"x",
}


def build(folder: Path) -> tuple[Path, Model]:
    """A base image and the model of it."""
    image, model = ImageBuilder(), Model()
    for path, data in BASE_FILES.items():
        parent, _, name = path.rpartition(b"/")
        directory = model.root
        for part in parent.split(b"/"):
            if part:
                if part not in directory.children:
                    model.add(directory, part, ModelNode(stat.S_IFDIR))
                directory = directory.children[part]
        model.add(directory, name, ModelNode(stat.S_IFREG, bytearray(data)))
        image.file(path, data, group_id=9 if path == b"/a" else 0)
    image.file(b"/sub/\xc3\xa9", BASE_FILES[b"/a"], group_id=9)
    model.add(model.find(b"/sub"), b"\xc3\xa9", model.find(b"/a"))
    image.file(
        b"/B/b",
        attributes=FileAttribute.REPARSE_POINT,
        content_sha1=image.blob(symlink_blob(b"../a")),
        reparse_tag=ReparseTag.SYMLINK,
        rp_flags=RP_FLAG_NOT_FIXED,
    )
    model.add(model.find(b"/B"), b"b", ModelNode(stat.S_IFLNK, target=b"../a"))
    image.file(b"/B/a", b"main", named_streams=((b"one", image.blob(b"stream one")),))
    streams = ModelNode(stat.S_IFREG, bytearray(b"main"), xattrs={b"user.one": b"stream one"})
    model.add(model.find(b"/B"), b"a", streams)
    for _, node in model.walk():
        node.mtime_ns = ticks_to_ns(TICKS)
    return image.write(folder / "base.wim"), model
