"""Everything an image says of one file, for listings and inspection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.errors import MetadataError
from wimtui.engine.image.attributes import FileAttribute, attribute_names
from wimtui.engine.image.named_streams import named_streams
from wimtui.engine.image.reparse import tag_name
from wimtui.engine.image.sddl import sddl_text
from wimtui.engine.image.streams import FileStreams, Stream
from wimtui.engine.image.tagged_items import extended_attributes, object_id, unix_data

if TYPE_CHECKING:
    from wimtui.engine.image.metadata import ImageMetadata
    from wimtui.engine.image.tagged_items import ExtendedAttribute, ObjectId, UnixData


@dataclass(frozen=True, slots=True)
class FileDetails:
    """One name and the file behind it; for hard links all but the names are the first one's."""

    path: bytes
    """From the root, which is ``/``; WTF-8."""
    short_name: bytes
    """8.3 name, empty if there is none."""
    ino: int
    attributes: int
    attribute_names: tuple[str, ...]
    security_id: int
    """Index of the descriptor, or -1."""
    security_descriptor: bytes | None
    """Self-relative SECURITY_DESCRIPTOR."""
    sddl: str | None
    """The descriptor as text; None without one or where it is malformed."""
    creation_time: int
    """Ticks of 100 ns since 1601, like the other times."""
    access_time: int
    write_time: int
    reparse_tag: int
    """0 for what is no reparse point."""
    reparse_tag_name: str
    reparse_reserved: int
    rp_flags: int
    group_id: int
    """Hard-link group id as stored."""
    link_count: int
    unix_data: UnixData | None
    object_id: ObjectId | None
    extended_attributes: tuple[ExtendedAttribute, ...]
    streams: tuple[Stream, ...]
    unknown_0x54: int
    is_hidden: bool
    """In the image, but not in a mount, since Linux cannot hold the name."""
    offset_in_metadata: int


def file_streams(metadata: ImageMetadata, dentry: int) -> FileStreams:
    """Return the hashes of a dentry's own streams."""
    columns = metadata.columns
    attributes = columns.attributes(dentry)
    content = columns.content_sha1(dentry)
    if attributes & FileAttribute.ENCRYPTED:
        return FileStreams(efs=content if any(content) else None)
    stored = named_streams(columns, dentry)
    named = tuple((stream.name, stream.sha1) for stream in stored)
    if attributes & FileAttribute.REPARSE_POINT:
        data = stored.data_sha1 if any(stored.data_sha1) else None
        return FileStreams(data=data, reparse=content, named=named)
    if attributes & FileAttribute.DIRECTORY:
        return FileStreams(named=named)
    return FileStreams(data=content, named=named)


def file_details(metadata: ImageMetadata, dentry: int) -> FileDetails:
    """Return the details of the file behind a dentry."""
    columns = metadata.columns
    ino = columns.ino(dentry)
    first = columns.first_dentry(ino)
    attributes = columns.attributes(first)
    security_id = columns.security_id(first)
    descriptor = metadata.security.descriptor(security_id)
    created, accessed, written = columns.times(first)
    tag, reserved, rp_flags = columns.reparse_fields(first)
    tagged = columns.tagged_items(first)
    return FileDetails(
        path=metadata.path(dentry),
        short_name=columns.short_name(dentry),
        ino=ino,
        attributes=attributes,
        attribute_names=tuple(attribute_names(attributes)),
        security_id=security_id,
        security_descriptor=descriptor,
        sddl=None if descriptor is None else _sddl(descriptor),
        creation_time=created,
        access_time=accessed,
        write_time=written,
        reparse_tag=tag,
        reparse_tag_name=tag_name(tag) if tag else "",
        reparse_reserved=reserved,
        rp_flags=rp_flags,
        group_id=columns.group_id(first),
        link_count=columns.link_count(ino),
        unix_data=unix_data(tagged),
        object_id=object_id(tagged),
        extended_attributes=tuple(extended_attributes(tagged)),
        streams=tuple(file_streams(metadata, first)),
        unknown_0x54=columns.unknown_0x54(first),
        is_hidden=columns.is_hidden(dentry),
        offset_in_metadata=columns.offset_in_metadata(dentry),
    )


def _sddl(descriptor: bytes) -> str | None:
    try:
        return sddl_text(descriptor)
    except MetadataError:
        return None
