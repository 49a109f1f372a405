"""Resource header: where a resource lies and how large it is, 24 bytes on disk."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.container.flags import ResourceFlag

if TYPE_CHECKING:
    from typing_extensions import Buffer

RESOURCE_HEADER_NBYTES = 24
MAX_SIZE_IN_WIM = (1 << 56) - 1
_LAYOUT = struct.Struct("<QQQ")


@dataclass(frozen=True, slots=True)
class ResourceHeader:
    """Location of a resource.

    On disk a u64 whose top byte holds the flags, the offset, and the uncompressed size.
    """

    size_in_wim: int
    """Stored bytes, chunk tables included; at most 2**56 - 1."""

    flags: ResourceFlag
    offset_in_wim: int
    """From byte 0 of the file; in a pipable file it points behind the 40-byte record."""

    uncompressed_size: int

    @classmethod
    def parse(cls, buffer: Buffer, offset: int = 0) -> ResourceHeader:
        """Read 24 bytes at ``offset`` of ``buffer``."""
        size_and_flags, offset_in_wim, uncompressed_size = _LAYOUT.unpack_from(buffer, offset)
        return cls(
            size_and_flags & MAX_SIZE_IN_WIM,
            ResourceFlag(size_and_flags >> 56),
            offset_in_wim,
            uncompressed_size,
        )

    def pack(self) -> bytes:
        """Return the 24 bytes."""
        if not 0 <= self.size_in_wim <= MAX_SIZE_IN_WIM:
            raise ValueError(f"a stored size has 56 bits, {self.size_in_wim} does not fit")
        size_and_flags = self.size_in_wim | int(self.flags) << 56
        return _LAYOUT.pack(size_and_flags, self.offset_in_wim, self.uncompressed_size)

    @property
    def end_in_wim(self) -> int:
        """Offset of the first byte after the resource."""
        return self.offset_in_wim + self.size_in_wim

    @property
    def is_absent(self) -> bool:
        """Whether all 24 bytes are zero but for the flags: no resource at all."""
        return not (self.size_in_wim or self.offset_in_wim or self.uncompressed_size)


NO_RESOURCE = ResourceHeader(0, ResourceFlag.NONE, 0, 0)
