"""How a WIM is to be written, and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit.disk import Disk
from wimtui.engine.timestamps import ns_to_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.commit.lock import WimLock
    from wimtui.engine.progress import CancelToken, ProgressSink

DEFAULT_LEVEL = 50
DEFAULT_CHUNK_SIZES = {
    CodecId.NONE: 0,
    CodecId.XPRESS: 1 << 15,
    CodecId.LZX: 1 << 15,
    CodecId.LZMS: 1 << 17,
}
"""Chunk sizes of non-solid resources that every Microsoft tool reads."""

SOLID_CHUNK_SIZE = 1 << 26
"""What Microsoft's ESD files have."""


@dataclass(frozen=True, slots=True)
class Compression:
    """Codec, chunk size and level; None stands for what the file has, or the codec's usual."""

    codec: CodecId | None = None
    chunk_size: int | None = None
    level: int = DEFAULT_LEVEL
    solid_codec: CodecId = CodecId.LZMS
    solid_chunk_size: int = SOLID_CHUNK_SIZE


def now_ticks() -> int:
    """Return the time as FILETIME ticks."""
    return ns_to_ticks(time.time_ns())


@dataclass(frozen=True, slots=True)
class UpcomingFile:
    """What the file will be in a moment: everything but its header or name is on the disk."""

    path: str
    """What it will be named."""
    size: int
    header: bytes
    blob_table: bytes
    is_rebuilt: bool = False
    """Whether it takes the place of another file, or only the header of this one is to change."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write; the defaults append, compressed as the file is."""

    rebuild: bool = False
    """Write a file anew and rename it over the old one: no dead bytes stay."""
    recompress: bool = False
    """Rebuild, and compress again what could be copied."""
    solid: bool = False
    """Rebuild, with all file data in a solid resource."""
    compression: Compression = field(default_factory=Compression)
    integrity: bool | None = None
    """Write an integrity table: True or False, or None to have one where the file has one."""
    ignore_readonly: bool = False
    """Write to a file whose header says READONLY."""
    lock_held: bool = False
    """The caller holds the lock on the file already."""
    check_space: bool = True
    """Refuse where the disk has too little room even by a low estimate, before the first byte."""
    save_as: str | None = None
    """Write the result to this path, which must not exist, and leave the file as it is."""
    worker_count: int | None = None
    progress: ProgressSink | None = None
    cancel: CancelToken | None = None
    on_ready: Callable[[UpcomingFile], None] | None = None
    """Called once, between the last data and the header or rename that lets it count.

    What it raises stops the write, and the file is as before.
    """
    disk: Disk = field(default_factory=Disk)
    clock: Callable[[], int] = now_ticks
    """Returns the time in ticks."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What was written."""

    path: str
    is_written: bool
    """False where nothing had changed and nothing was written."""
    is_rebuilt: bool = False
    old_size: int = 0
    """Bytes of the file before; 0 where there was none."""
    new_size: int = 0
    blobs_written: int = 0
    blobs_reused: int = 0
    """New streams whose data the file held already, or several of which have the same."""
    blobs_copied: int = 0
    """Taken over by a rebuild as they were stored."""
    blobs_dropped: int = 0
    """No image uses them any more."""
    image_index: int = 0
    """The image that was written or appended; 0 for none."""
    warnings: tuple[str, ...] = ()
    lock: WimLock | None = None
    """The lock on a rebuilt file, where the caller held that on the old one."""
