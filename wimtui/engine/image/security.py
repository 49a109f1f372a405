"""The security data that begins a metadata resource: a table of security descriptors."""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import TYPE_CHECKING, Self

from wimtui.engine.errors import LimitError, MetadataError

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEADER = struct.Struct("<II")
_SIZE_NBYTES = 8

MAX_DESCRIPTORS = 2**22
"""Far beyond any Windows image, which has some ten thousand; bounds what the offsets take."""


class SecurityData:
    """The table as stored; descriptors are indexed by a dentry's security id."""

    __slots__ = ("_ends", "count", "raw")

    raw: bytes
    """Every byte up to the root dentry, padding included."""

    count: int
    """Number of descriptors."""

    def __init__(self, raw: bytes, count: int) -> None:
        """Take checked bytes; use ``parse`` or ``build``."""
        self.raw = raw
        self.count = count
        self._ends: list[int] | None = None

    @classmethod
    def parse(cls, metadata: memoryview) -> Self:
        """Read the table at the start of a metadata resource.

        Raises:
            MetadataError: The table does not fit its own length or the resource.
            LimitError: It has more than MAX_DESCRIPTORS.
        """
        if len(metadata) < _HEADER.size:
            raise _error(f"the metadata has {len(metadata)} bytes, too few for security data")
        total, count = _HEADER.unpack_from(metadata)
        total = total or _HEADER.size
        if total > len(metadata):
            raise _error(f"security data of {total} bytes exceed {len(metadata)} of metadata")
        sizes_end = _HEADER.size + _SIZE_NBYTES * count
        if sizes_end > total:
            raise _error(f"{count} descriptors do not fit {total} bytes of security data")
        if count > MAX_DESCRIPTORS:
            raise LimitError(f"an image with {count} security descriptors")
        if count:
            sizes = struct.iter_unpack("<Q", metadata[_HEADER.size : sizes_end])
            left = total - sizes_end
            for (nbytes,) in sizes:
                if nbytes > left:
                    raise _error(f"a descriptor of {nbytes} bytes exceeds the security data")
                left -= nbytes
        raw = bytes(metadata[: total + -total % 8])
        return cls(raw + bytes(-len(raw) % 8), count)

    @classmethod
    def build(cls, descriptors: Iterable[bytes]) -> Self:
        """Lay out a table of these descriptors."""
        listed = list(descriptors)
        sizes = struct.pack(f"<{len(listed)}Q", *map(len, listed))
        body = sizes + b"".join(listed)
        total = _HEADER.size + len(body)
        total += -total % 8
        raw = _HEADER.pack(total, len(listed)) + body
        return cls(raw + bytes(-len(raw) % 8), len(listed))

    @property
    def root_offset(self) -> int:
        """Offset of the root dentry in the metadata resource."""
        return len(self.raw)

    def descriptor(self, security_id: int) -> bytes | None:
        """Return a self-relative SECURITY_DESCRIPTOR, or None for an id out of range."""
        if not 0 <= security_id < self.count:
            return None
        if self._ends is None:
            first = _HEADER.size + _SIZE_NBYTES * self.count
            sizes = struct.unpack_from(f"<{self.count}Q", self.raw, _HEADER.size)
            self._ends = list(accumulate(sizes, initial=first))
        return self.raw[self._ends[security_id] : self._ends[security_id + 1]]

    def descriptors(self) -> list[bytes]:
        """Return all of them, in order."""
        return [self.descriptor(index) or b"" for index in range(self.count)]

    def extended(self, descriptors: Iterable[bytes]) -> tuple[Self, list[int]]:
        """Return a table that also has these, and the ids they got; ids in use stay valid."""
        known = self.descriptors()
        ids = {descriptor: index for index, descriptor in reversed(list(enumerate(known)))}
        given = []
        for descriptor in descriptors:
            if descriptor not in ids:
                ids[descriptor] = len(known)
                known.append(descriptor)
            given.append(ids[descriptor])
        if len(known) == self.count:
            return type(self)(self.raw, self.count), given
        return type(self).build(known), given


def _error(message: str) -> MetadataError:
    return MetadataError(message, structure="security data at offset 0 of the metadata resource")
