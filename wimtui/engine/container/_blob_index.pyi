from typing import Self, final

from typing_extensions import Buffer

ROW_NBYTES: int

IGNORED: int
BLOB: int
METADATA: int
SOLID_RESOURCE: int

SIZES_DIFFER: int
OUTSIDE_SOLID: int
METADATA_SHARED: int
METADATA_IN_SOLID: int
OVERLAP: int

def solid_resource_rows(rows: Buffer) -> list[tuple[int, int]]: ...

@final
class BlobIndex:
    rows: bytes
    row_count: int
    blob_count: int
    metadata_rows: list[int]
    ignored_counts: tuple[int, int, int, int, int, int, int]
    failure: tuple[int, int] | None
    def __new__(
        cls,
        rows: bytes,
        *,
        solid_allowed: bool,
        part_number: int,
        image_count: int,
        smallest_offset: int,
        file_size: int,
        chunk_size: int,
        chunk_overhead: int,
        solids: list[tuple[int, int, int, bool]],
    ) -> Self: ...
    def find(self, sha1: bytes) -> int: ...
    def absent(self, hashes: bytes) -> bytes: ...
    def row_class(self, row: int) -> int: ...
    def is_usable(self, row: int) -> bool: ...
    def size(self, row: int) -> int: ...
    def stored_size(self, row: int) -> int: ...
    def compressed_place(self, row: int) -> tuple[int, int, int] | None: ...
    def raw_place(self, row: int) -> tuple[int, int] | None: ...
    def sha1(self, row: int) -> bytes: ...
    def solid_index(self, row: int) -> int: ...
    def rows_in_file_order(self) -> list[int]: ...
