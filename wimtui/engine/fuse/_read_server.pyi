from collections.abc import Callable
from typing import final

from wimtui.engine.fuse.read_operations import ReadOperations

@final
class ReadServer:
    def __init__(
        self,
        fd: int,
        wake_fd: int,
        operations: ReadOperations,
        start: Callable[..., None],
        *,
        on_init: Callable[[], object],
        opens_are_needed: bool = True,
    ) -> None: ...
    def serve(self) -> bool: ...
    def close(self) -> None: ...
