from __future__ import annotations

from typing import final

from typing_extensions import Buffer

@final
class LzxCompressor:
    @property
    def block_size(self) -> int: ...
    @property
    def level(self) -> int: ...
    def __init__(self, block_size: int, level: int = 50) -> None: ...
    def compress(self, source: Buffer) -> bytes | None: ...
