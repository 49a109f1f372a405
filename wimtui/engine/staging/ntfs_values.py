"""Windows metadata of staged nodes under the names of ntfs-3g, read and set."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Final

from wimtui.engine.errors import (
    AttributeExistsError,
    NodeExistsError,
    NoSuchAttributeError,
    NotPermittedError,
    NotSupportedNodeError,
    UsageError,
)
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.names import text_from_wtf8, upcase, wtf8_from_text
from wimtui.engine.image.ntfs_xattrs import NTFS_PREFIX, pack_ea_list, parse_ea_list
from wimtui.engine.image.reparse import MAX_REPARSE_NBYTES, reparse_buffer
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.image.tagged_items import (
    ExtendedAttribute,
    ItemTag,
    extended_attributes,
    find_item,
    pack_extended_attributes,
    set_item,
)
from wimtui.engine.staging.names import windows_objection
from wimtui.engine.tree import ROOT_INO, XattrMode

if TYPE_CHECKING:
    from wimtui.engine.staging.contents import Contents
    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import Entry, NodeId, StagedNode
    from wimtui.engine.staging.stats import Stats

_NATIVE: Final = "<" if sys.byteorder == "little" else ">"

_SETTABLE: Final = (
    FileAttribute.READONLY
    | FileAttribute.HIDDEN
    | FileAttribute.SYSTEM
    | FileAttribute.ARCHIVE
    | FileAttribute.TEMPORARY
    | FileAttribute.OFFLINE
    | FileAttribute.NOT_CONTENT_INDEXED
)

_DESCRIPTOR: Final = struct.Struct("<BBHIIII")
_SELF_RELATIVE: Final = 0x8000
_MAX_SHORT_UNITS: Final = 12
_ALWAYS_THERE: Final = frozenset({b"attrib", b"times", b"crtime"})


class NtfsValues:
    """Answers and changes for one overlay; names come without ``system.ntfs_``."""

    def __init__(self, layer: Layer, contents: Contents, stats: Stats) -> None:
        """Work on a layer."""
        self._layer = layer
        self._contents = contents
        self._stats = stats

    # Reading

    def get(self, node: StagedNode, name: bytes) -> bytes:
        """Return a value of a staged node; may read the disk. Raises NoSuchAttributeError."""
        word, order = _split(name)
        value: bytes | None = None
        if word == b"attrib":
            value = struct.pack(f"{order}I", node.attributes or FileAttribute.NORMAL)
        elif word in (b"times", b"crtime"):
            written = self._contents.write_time(node)
            times = (node.creation_time, written, node.access_time, written)
            value = struct.pack(f"{order}4Q", *times)[: 8 if word == b"crtime" else 32]
        elif name == b"acl":
            known = self._layer.base.metadata.security.descriptor(node.security_id)
            value = node.descriptor or known
        elif name == b"dos_name":
            short_name = self._named(node.id)[2].short_name if node.id != ROOT_INO else b""
            value = wtf8_from_text(upcase(text_from_wtf8(short_name))) or None
        elif name == b"reparse_data":
            value = self._reparse_data(node)
        elif name == b"object_id":
            data = find_item(node.tagged_items, ItemTag.OBJECT_ID)
            value = None if data is None else data[: 64 if len(data) >= 64 else 16]
        elif name == b"ea":
            entries = extended_attributes(node.tagged_items)
            value = pack_ea_list(entries) if entries else None
        if value is None:
            raise _no_such(name)
        return value

    def _reparse_data(self, node: StagedNode) -> bytes | None:
        special = node.attributes & (FileAttribute.REPARSE_POINT | FileAttribute.ENCRYPTED)
        if special != FileAttribute.REPARSE_POINT:
            return None
        stream = self._layer.node_with_streams(node.id).stream(StreamKind.REPARSE)
        blob = b"" if stream is None else self._stats.read_whole(stream, MAX_REPARSE_NBYTES)
        return reparse_buffer(node.reparse_tag, node.reparse_reserved, blob or b"")

    # Setting

    def set(self, number: NodeId, name: bytes, value: bytes, mode: XattrMode) -> None:
        """Set a value. The caller holds the layer's lock.

        Raises:
            AttributeExistsError, NoSuchAttributeError: As the mode demands.
            UsageError: The value is malformed (EINVAL).
            NotSupportedNodeError: Nothing keeps that value.
        """
        word, order = _split(name)
        node = self._layer.node(number)
        if mode is XattrMode.CREATE and word in _ALWAYS_THERE:
            raise AttributeExistsError(f"system.ntfs_{_shown(name)} exists always")
        if word == b"attrib":
            wanted = _numbers(value, order, "I", 1)[0]
            node = node._replace(attributes=_new_attributes(node, wanted))
        elif word == b"crtime":
            node = node._replace(creation_time=_numbers(value, order, "Q", 1)[0], times_set=True)
        elif word == b"times":
            node = self._with_times(node, _numbers(value, order, "Q", 1))
        elif name == b"dos_name":
            self._set_short_name(number, value, mode)
            return
        elif name in (b"acl", b"object_id", b"ea"):
            self._check_mode(node, name, mode)
            node = _with_value(node, name, value)
        else:
            raise NotSupportedNodeError(f"system.ntfs_{_shown(name)} cannot be set")
        self._write(node)

    def _write(self, node: StagedNode) -> None:
        edit = self._layer.edit()
        edit.put(node)
        self._layer.commit(edit)

    def _check_mode(self, node: StagedNode, name: bytes, mode: XattrMode) -> None:
        if mode is XattrMode.ANY:
            return
        try:
            self.get(node, name)
        except NoSuchAttributeError:
            if mode is XattrMode.REPLACE:
                raise
            return
        if mode is XattrMode.CREATE:
            raise AttributeExistsError(f"system.ntfs_{_shown(name)} exists")

    def _with_times(self, node: StagedNode, times: tuple[int, ...]) -> StagedNode:
        node = node._replace(creation_time=times[0], times_set=True)
        if len(times) > 1:
            node = self._contents.stamp(node, times[1])
        if len(times) > 2:
            node = node._replace(access_time=times[2])
        return node

    def remove(self, number: NodeId, name: bytes) -> None:
        """Remove a value. The caller holds the layer's lock.

        Raises NotPermittedError for what every file has, NoSuchAttributeError.
        """
        node = self._layer.node(number)
        word, _ = _split(name)
        if word in _ALWAYS_THERE or name == b"acl":
            raise NotPermittedError(f"system.ntfs_{_shown(name)} cannot be removed")
        if name == b"reparse_data":
            raise NotSupportedNodeError("a reparse point cannot be made an ordinary file")
        self.get(node, name)
        if name == b"dos_name":
            directory, spelling, entry = self._named(number)
            edit = self._layer.edit()
            edit.set_entry(directory, spelling, entry._replace(short_name=b""))
            self._layer.commit(edit)
            return
        if name == b"object_id":
            self._write(
                node._replace(tagged_items=set_item(node.tagged_items, ItemTag.OBJECT_ID, None))
            )
            return
        tagged = set_item(node.tagged_items, ItemTag.EXTENDED_ATTRIBUTES, None)
        self._write(node._replace(tagged_items=set_item(tagged, ItemTag.OLD_XATTRS, None)))

    # Short names belong to an entry, not to the node

    def _named(self, number: NodeId) -> tuple[NodeId, bytes, Entry]:
        """Return directory, name and entry of a node's first name. Raises NoSuchAttributeError."""
        for directory, name in self._layer.places(number):
            entry = self._layer.entry(directory, name)
            if entry is not None:
                return directory, name, entry
        raise _no_such(b"dos_name")

    def _set_short_name(self, number: NodeId, value: bytes, mode: XattrMode) -> None:
        if number == ROOT_INO:
            raise NotSupportedNodeError("the root directory has no name")
        directory, name, entry = self._named(number)
        if entry.short_name and mode is XattrMode.CREATE:
            raise AttributeExistsError("there is a short name")
        if not entry.short_name and mode is XattrMode.REPLACE:
            raise _no_such(b"dos_name")
        short_name = _checked_short_name(value.rstrip(b"\0"))
        wanted = upcase(short_name)
        for other, node in self._layer.names(directory):
            known = self._layer.entry(directory, other)
            if node == number or known is None:
                continue
            taken = {upcase(text_from_wtf8(other)), upcase(text_from_wtf8(known.short_name))}
            if wanted in taken:
                raise NodeExistsError(f"{_shown(other)} has that name or short name")
        edit = self._layer.edit()
        edit.set_entry(directory, name, entry._replace(short_name=wtf8_from_text(short_name)))
        self._layer.commit(edit)


def _split(name: bytes) -> tuple[bytes, str]:
    """Return a name without ``_be``, and the byte order of its numbers."""
    if name.endswith(b"_be"):
        return name.removesuffix(b"_be"), ">"
    return name, _NATIVE


def _numbers(value: bytes, order: str, code: str, least: int) -> tuple[int, ...]:
    nbytes = struct.calcsize(f"{order}{code}")
    count = len(value) // nbytes
    if count < least:
        raise UsageError(f"a value of {len(value)} bytes is too short")
    return struct.unpack_from(f"{order}{count}{code}", value)


def _new_attributes(node: StagedNode, wanted: int) -> int:
    settable = int(_SETTABLE)
    if node.attributes & FileAttribute.DIRECTORY:
        settable |= FileAttribute.COMPRESSED
    attributes = node.attributes & ~settable | wanted & settable
    attributes &= ~FileAttribute.NORMAL
    return int(attributes or FileAttribute.NORMAL)


def _with_value(node: StagedNode, name: bytes, value: bytes) -> StagedNode:
    if name == b"acl":
        return node._replace(descriptor=_checked_descriptor(value))
    if name == b"object_id":
        if len(value) < 16:
            raise UsageError(f"an object id of {len(value)} bytes; 16 or 64 are needed")
        data = value[:64] if len(value) >= 64 else value[:16]
        return node._replace(tagged_items=set_item(node.tagged_items, ItemTag.OBJECT_ID, data))
    try:
        entries = [ExtendedAttribute(*entry) for entry in parse_ea_list(value)]
    except ValueError as error:
        raise UsageError(f"malformed extended attributes: {error}") from error
    tagged = set_item(node.tagged_items, ItemTag.OLD_XATTRS, None)
    data = pack_extended_attributes(entries)
    tagged = set_item(tagged, ItemTag.EXTENDED_ATTRIBUTES, data or None)
    return node._replace(tagged_items=tagged)


def _checked_descriptor(value: bytes) -> bytes:
    """Return a self-relative SECURITY_DESCRIPTOR. Raises UsageError for anything else."""
    if len(value) < _DESCRIPTOR.size:
        raise UsageError(f"a security descriptor of {len(value)} bytes is too short")
    revision, _, control, *offsets = _DESCRIPTOR.unpack_from(value)
    if revision != 1 or not control & _SELF_RELATIVE:
        raise UsageError("not a self-relative security descriptor of revision 1")
    if any(offset and not _DESCRIPTOR.size <= offset <= len(value) - 8 for offset in offsets):
        raise UsageError("a part of the security descriptor lies outside of it")
    return value


def _checked_short_name(value: bytes) -> str:
    """Return an 8.3 name. Raises UsageError for anything else."""
    text = text_from_wtf8(value)
    stem, dot, extension = text.partition(".")
    if (
        len(text) > _MAX_SHORT_UNITS
        or not 1 <= len(stem) <= 8
        or (dot and not 1 <= len(extension) <= 3)
        or "." in extension
        or " " in text
        or windows_objection(value) is not None
    ):
        raise UsageError(f"{_shown(value)} is no 8.3 name")
    return text


def _no_such(name: bytes) -> NoSuchAttributeError:
    return NoSuchAttributeError(f"no attribute {_shown(NTFS_PREFIX + name)}")


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")
