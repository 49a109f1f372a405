from typing import final

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.codecs.factory import DecompressorPool
from wimtui.engine.container._blob_index import BlobIndex
from wimtui.engine.container.file_bytes import FileBytes

@final
class SmallBlob:
    @property
    def was_read(self) -> bool: ...
    def read_nowait(self, offset: int, size: int) -> bytes: ...
    def read(self, offset: int, size: int) -> bytes: ...
    def load_ahead(self) -> bool: ...
    def close(self) -> None: ...

@final
class SmallBlobs:
    def __init__(
        self,
        file: FileBytes,
        index: BlobIndex,
        codec: CodecId,
        chunk_size: int,
        decompressors: DecompressorPool,
        *,
        is_pipable: bool,
        recent_nbytes: int,
    ) -> None: ...
    def open(self, row: int) -> SmallBlob | None: ...
    def forget(self) -> None: ...
