from typing_extensions import Buffer

from wimtui.engine.image._columns import Columns

def scan(
    metadata: Buffer, root_offset: int, security_count: int, upcase_table: bytes
) -> tuple[int, int, Columns | None]: ...
