"""The blob table of a file being written."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wimtui.engine.container.blob_table import BlobRow
from wimtui.engine.container.flags import EMPTY_HASH, ResourceFlag
from wimtui.engine.container.resource import NO_RESOURCE, ResourceHeader
from wimtui.engine.container.solid import SOLID_MARKER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wimtui.engine.container.blob_table import BlobTable

_MAX_COUNT = (1 << 32) - 1
_KEPT_FLAGS = ResourceFlag.METADATA | ResourceFlag.COMPRESSED | ResourceFlag.SOLID


@dataclass(frozen=True, slots=True)
class SolidBlob:
    """A blob in a solid resource."""

    offset_in_resource: int
    size: int
    sha1: bytes
    reference_count: int


_ROW = struct.Struct("<QQQHI20s")
_KEPT_PLACE = (int(_KEPT_FLAGS) << 56) | ((1 << 56) - 1)


class TableBuilder:
    """Collects entries and puts them into the order of wim-container 3.5."""

    def __init__(self) -> None:
        self._metadata: list[BlobRow] = []
        self._plain: list[tuple[int, bytes]] = []
        self._solids: list[tuple[ResourceHeader, int, list[SolidBlob]]] = []

    @property
    def has_solids(self) -> bool:
        """Whether there is a solid resource."""
        return bool(self._solids)

    def add_metadata(self, resource: ResourceHeader, sha1: bytes) -> None:
        """Add the metadata resource of the next image."""
        resource = replace(resource, flags=resource.flags & _KEPT_FLAGS)
        self._metadata.append(BlobRow(resource, 1, 1, sha1))

    def add_blob(self, resource: ResourceHeader, sha1: bytes, reference_count: int) -> None:
        """Add a blob on its own."""
        place = (int(resource.flags) << 56 | resource.size_in_wim) & _KEPT_PLACE
        offset_in_wim = resource.offset_in_wim
        size, count = resource.uncompressed_size, min(reference_count, _MAX_COUNT)
        self._plain.append((offset_in_wim, _ROW.pack(place, offset_in_wim, size, 1, count, sha1)))

    def keep_rows(
        self,
        rows: bytes,
        numbers: Iterable[int],
        references: Mapping[bytes, int],
        *,
        keep_all: bool,
        shift: int = 0,
    ) -> int:
        """Add plain blobs of the old table, with other counts and ``shift`` bytes further on.

        Those without a reference are left out, unless ``keep_all``. From bytes to bytes: a table
        has some 100,000 rows, and an object of each would take as long as everything else in a
        small commit.

        Returns:
            How many were left out.
        """
        add, unpack, pack, width = self._plain.append, _ROW.unpack_from, _ROW.pack, _ROW.size
        reference_count = references.get
        dropped = 0
        for number in numbers:
            place, offset_in_wim, size, _, stored, sha1 = unpack(rows, number * width)
            count = reference_count(sha1, 0)
            if keep_all:
                count = max(count, stored)
            elif not count:
                dropped += 1
                continue
            offset_in_wim += shift
            if count > _MAX_COUNT:
                count = _MAX_COUNT
            add((offset_in_wim, pack(place & _KEPT_PLACE, offset_in_wim, size, 1, count, sha1)))
        return dropped

    def add_solid(
        self, offset_in_wim: int, size_in_wim: int, uncompressed_size: int, blobs: list[SolidBlob]
    ) -> None:
        """Add a solid resource with the blobs in it that are in use."""
        resource = ResourceHeader(size_in_wim, ResourceFlag.SOLID, offset_in_wim, SOLID_MARKER)
        self._solids.append((resource, uncompressed_size, blobs))

    def resource_of_image(self, index: int) -> ResourceHeader:
        """Return where the metadata resource of a 1-based image lies; no resource for 0."""
        return self._metadata[index - 1].resource if index else NO_RESOURCE

    def pack(self) -> bytes:
        """Return the table: metadata, blobs by offset, one run of solid resources by offset."""
        rows = [row.pack() for row in self._metadata]
        self._plain.sort()
        rows += [row for _, row in self._plain]
        base_offset = 0
        for resource, uncompressed_size, blobs in sorted(
            self._solids, key=lambda solid: solid[0].offset_in_wim
        ):
            rows.append(BlobRow(resource, 1, 1, EMPTY_HASH).pack())
            for blob in sorted(blobs, key=lambda blob: blob.offset_in_resource):
                place = ResourceHeader(
                    blob.size, ResourceFlag.SOLID, base_offset + blob.offset_in_resource, 0
                )
                count = min(blob.reference_count, _MAX_COUNT)
                rows.append(BlobRow(place, 1, count, blob.sha1).pack())
            base_offset += uncompressed_size
        return b"".join(rows)

    def carry_over(
        self, table: BlobTable, references: Mapping[bytes, int], *, keep_all: bool, but: set[bytes]
    ) -> int:
        """Take over the blobs of a file that is appended to.

        Args:
            table: The table as it is.
            references: How often each blob is used.
            keep_all: Keep blobs without a known use too, with their stored count.
            but: Blobs left out because they were written anew.

        Returns:
            How many were left out for want of any use.
        """
        index = table.index
        numbers = table.blob_rows_in_file_order()
        anew = {table.find(sha1) for sha1 in but}
        if not anew.isdisjoint(numbers):
            numbers = [number for number in numbers if number not in anew]
        if not table.solids:
            return self.keep_rows(index.rows, numbers, references, keep_all=keep_all)
        plain = [number for number in numbers if index.solid_index(number) < 0]
        dropped = self.keep_rows(index.rows, plain, references, keep_all=keep_all)
        solids: dict[int, list[SolidBlob]] = {}
        for number in numbers:
            position = index.solid_index(number)
            if position < 0:
                continue
            sha1 = index.sha1(number)
            count = references.get(sha1, 0)
            row = table.row(number)
            if keep_all:
                count = max(count, row.reference_count)
            elif not count:
                dropped += 1
                continue
            solid = table.solids[position]
            start = row.resource.offset_in_wim - solid.base_offset
            blob = SolidBlob(start, row.resource.size_in_wim, sha1, count)
            solids.setdefault(position, []).append(blob)
        for position, blobs in solids.items():
            solid = table.solids[position]
            self.add_solid(solid.offset_in_wim, solid.size_in_wim, solid.uncompressed_size, blobs)
        return dropped
