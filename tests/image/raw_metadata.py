"""Builds metadata resources byte by byte, right or wrong, with nothing of wimtui."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

ZERO = bytes(20)
DIRECTORY = 0x10
ARCHIVE = 0x20
REPARSE = 0x400
ENCRYPTED = 0x4000
SYMLINK_TAG = 0xA000000C
JUNCTION_TAG = 0xA0000003


def align8(count: int) -> int:
    return (count + 7) & ~7


def pad8(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def sha(number: int) -> bytes:
    """A recognisable hash."""
    return struct.pack("<I", number) * 5


def utf16(name: str) -> bytes:
    return name.encode("utf-16-le", "surrogatepass")


def stream_entry(name: str, sha1: bytes, length: int | None = None) -> bytes:
    encoded = utf16(name)
    body = encoded + b"\0\0" if encoded else b""
    size = align8(38 + len(body)) if length is None else length
    data = struct.pack("<QQ20sH", size, 0, sha1, len(encoded)) + body
    return pad8(data)


@dataclass
class Raw:
    """One dentry as it will be stored; fields set to None are worked out."""

    name: str = ""
    attributes: int = ARCHIVE
    children: list[Raw] | None = None
    sha1: bytes = ZERO
    extras: list[tuple[str, bytes]] = field(default_factory=list)
    security_id: int = -1
    group: int = 0
    tag: int = 0
    reserved: int = 0
    rp_flags: int = 0
    times: tuple[int, int, int] = (1, 2, 3)
    short_name: str = ""
    tagged: bytes = b""
    unknown: int = 0
    subdir_offset: int | None = None
    length: int | None = None
    offset: int = 0

    def head(self) -> bytes:
        name, short = utf16(self.name), utf16(self.short_name)
        names = (name + b"\0\0" if name else b"") + (short + b"\0\0" if short else b"")
        if self.attributes & REPARSE:
            union = struct.pack("<IHH", self.tag, self.reserved, self.rp_flags)
        else:
            union = struct.pack("<Q", self.group)
        body = pad8(bytes(102) + names) + pad8(self.tagged)
        fixed = struct.pack(
            "<QIiQQQQQQ20sI8sHHH",
            len(body) if self.length is None else self.length,
            self.attributes,
            self.security_id,
            self.subdir_offset or 0,
            0,
            0,
            *self.times,
            self.sha1,
            self.unknown,
            union,
            len(self.extras),
            len(short),
            len(name),
        )
        return fixed + body[102:]

    def pack(self) -> bytes:
        return self.head() + b"".join(stream_entry(*extra) for extra in self.extras)


def directory(name: str, *children: Raw, **fields: object) -> Raw:
    return Raw(name, DIRECTORY, list(children), **fields)  # type: ignore[arg-type]


def security_data(*descriptors: bytes) -> bytes:
    total = 8 + 8 * len(descriptors) + sum(map(len, descriptors))
    sizes = b"".join(struct.pack("<Q", len(descriptor)) for descriptor in descriptors)
    return pad8(struct.pack("<II", align8(total), len(descriptors)) + sizes + b"".join(descriptors))


def build(root: Raw, security: bytes | None = None) -> bytes:
    """Lay the tree out as writers do: child lists in pre-order of their directories."""
    out = bytearray(security_data() if security is None else security)
    root.offset = len(out)
    out += root.pack() + bytes(8)
    stack = [root]
    while stack:
        parent = stack.pop()
        if parent.children is None:
            continue
        if parent.subdir_offset is None:
            struct.pack_into("<Q", out, parent.offset + 16, len(out))
        for child in parent.children:
            child.offset = len(out)
            out += child.pack()
        out += bytes(8)
        stack.extend(reversed(parent.children))
    return bytes(out)
