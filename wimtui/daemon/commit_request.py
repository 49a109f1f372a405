"""What a front end asks of a commit, in the engine's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.control.protocol import CommitMode
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import DEFAULT_LEVEL, Compression, WriteOptions
from wimtui.engine.commit.overlay import CommitPlan
from wimtui.engine.errors import UsageError

if TYPE_CHECKING:
    from wimtui.control.protocol import Commit, Data, Unmount
    from wimtui.engine.progress import CancelToken, ProgressSink


def commit_plan(
    request: Commit | Unmount, cancel: CancelToken | None = None, report: ProgressSink | None = None
) -> CommitPlan:
    """Return what a request asks for. Raises UsageError."""
    given = request.options
    save_as = given.get("save_as")
    options = WriteOptions(
        rebuild=request.mode is CommitMode.REBUILD,
        recompress=bool(given.get("recompress")),
        solid=bool(given.get("solid")),
        compression=_compression(given),
        integrity=True if request.check else None,
        check_space=not given.get("no_space_check"),
        save_as=str(save_as) if save_as else None,
        progress=report,
        cancel=cancel,
    )
    force = bool(given.get("force"))
    if not request.new_image:
        return CommitPlan(options, force=force)
    properties = ImageProperties(
        name=request.image_name or None,
        description=request.image_description or None,
        boot=True if given.get("boot") else None,
    )
    return CommitPlan(options, properties, force=force)


def _compression(given: Data) -> Compression:
    codec, level = given.get("codec"), given.get("level")
    level = level if isinstance(level, int) and level > 0 else DEFAULT_LEVEL
    if not codec:
        return Compression(level=level)
    try:
        return Compression(CodecId[str(codec)], level=level)
    except KeyError:
        raise UsageError(f"{codec!r} is no compression type") from None
