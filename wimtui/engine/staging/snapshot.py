"""The merged tree at one moment, for a commit to read while writing goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wimtui.engine.image.streams import StreamKind
    from wimtui.engine.staging.node import NodeId


class SnapshotName(NamedTuple):
    """A name in a directory of the merged tree."""

    name: bytes
    short_name: bytes
    node: NodeId
    """Hard-link identity: the names of one file have the same."""
    dentry: int
    """Dentry of the base image that says all about name and node unchanged, or -1.

    Its children may differ nevertheless, see ``Snapshot.is_unchanged_below``.
    """


@dataclass(frozen=True, slots=True)
class BlobStream:
    """A stream that the base image's archive has already."""

    kind: StreamKind
    name: bytes
    sha1: bytes
    """Zero for no bytes."""


@dataclass(frozen=True, slots=True)
class FileStream:
    """A stream in a staged file, which does not change while the snapshot lives."""

    kind: StreamKind
    name: bytes
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class InlineStream:
    """A stream given here."""

    kind: StreamKind
    name: bytes
    data: bytes


SnapshotStream = BlobStream | FileStream | InlineStream


@dataclass(frozen=True, slots=True)
class SnapshotNode:
    """All of a node but its names and children."""

    id: NodeId
    type: int
    """S_IFDIR, S_IFREG or S_IFLNK; only plain directories have children."""
    base_dentry: int
    """First dentry of the node in the base image, for fields that only the image knows; or -1."""
    attributes: int
    security_id: int
    descriptor: bytes | None
    """A security descriptor to be added to the image's table instead of ``security_id``."""
    creation_time: int
    """Ticks, like the other times."""
    access_time: int
    write_time: int
    reparse_tag: int
    reparse_reserved: int
    rp_flags: int
    tagged_items: bytes
    unknown_0x54: int
    link_count: int
    """Names that the node has in the snapshot."""
    streams: tuple[SnapshotStream, ...]
