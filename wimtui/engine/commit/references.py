"""How often images use each blob, and what they count in all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wimtui.engine.image.blobs import ZERO_SHA1
from wimtui.engine.image.metadata import ImageCounters, WarningKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wimtui.engine.image.metadata import ImageMetadata

_LEAVES_OUT = {
    WarningKind.NAME_DOTS,
    WarningKind.NAME_EMPTY,
    WarningKind.NAME_NUL,
    WarningKind.NAME_DUPLICATE,
    WarningKind.CHILDREN_IGNORED,
    WarningKind.STREAM_IGNORED,
    WarningKind.STREAM_ENCRYPTED,
    WarningKind.STREAM_DUPLICATE,
}


def count_references(metadata: ImageMetadata) -> Counter[bytes]:
    """Return for each blob the (dentry, stream) pairs that name it: links count each."""
    columns = metadata.columns
    counts: Counter[bytes] = Counter()
    link_count, stream_hashes = columns.link_count, columns.stream_hashes
    for ino in range(1, columns.inode_count + 1):
        links = link_count(ino)
        for sha1 in stream_hashes(ino):
            counts[sha1] += links
    del counts[ZERO_SHA1]
    return counts


def count_image(
    metadata: ImageMetadata, references: Mapping[bytes, int], size_of: Callable[[bytes], int]
) -> ImageCounters:
    """Return the counters of the XML data (wim-container 4.5).

    Args:
        metadata: The image.
        references: What ``count_references`` returns for it.
        size_of: Returns the bytes of a blob.
    """
    columns = metadata.columns
    dentries = directories = linked = 0
    for ino in range(1, columns.inode_count + 1):
        links = columns.link_count(ino)
        dentries += links
        if columns.is_directory(columns.first_dentry(ino)):
            directories += links
        if links > 1:
            linked += (links - 1) * sum(map(size_of, columns.stream_hashes(ino)))
    total = sum(count * size_of(sha1) for sha1, count in references.items())
    return ImageCounters(directories, dentries - directories, total, linked)


def leaves_something_out(metadata: ImageMetadata) -> bool:
    """Return whether the image has dentries or streams that are not seen, only stored."""
    counts = metadata.columns.warning_counts()
    return any(counts[kind] for kind in _LEAVES_OUT)
