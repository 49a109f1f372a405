"""placeholder"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wimtui.engine.fuse.threads import WorkerThreads


class RequestLoop:
    def __init__(self, threads: WorkerThreads) -> None:
        self.threads = threads

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        yield
