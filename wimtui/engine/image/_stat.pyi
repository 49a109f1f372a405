from typing import final

from wimtui.engine.image._columns import Columns
from wimtui.engine.tree import NodeAttributes

@final
class StatTable:
    def __init__(
        self,
        columns: Columns,
        node_attributes: type[NodeAttributes],
        uid: int,
        gid: int,
        file_permissions: int,
        directory_permissions: int,
        unix_data: bool,
    ) -> None: ...
    def store(self, ino: int, size: int, blocks: int) -> NodeAttributes: ...
    def plain_sha1(self, ino: int) -> bytes | None: ...
    def data_hashes(self) -> bytes | None: ...
    def attributes(self, ino: int) -> NodeAttributes | None: ...
    def with_size(self, ino: int, size: int, blocks: int) -> NodeAttributes: ...
