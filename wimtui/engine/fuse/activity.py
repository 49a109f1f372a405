"""What a mount has done: numbers for status."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Activity:
    """Counters of one mount. Written by handlers on the one trio thread, read by status."""

    started_at_ns: int = field(default_factory=time.time_ns)
    """When the mount began, in nanoseconds since 1970."""
    requests: Counter[str] = field(default_factory=Counter)
    """How many requests of each kind came; kinds that never came are absent."""
    bytes_read: int = 0
    """Bytes given to the kernel in answer to read; what its page cache served is not among them."""
    bytes_written: int = 0
    """Bytes taken from the kernel with write."""
    inline_reads: int = 0
    """Reads answered from memory, without a worker thread."""

    @property
    def reads(self) -> int:
        """How many read requests came."""
        return self.requests["read"]

    @property
    def writes(self) -> int:
        """How many write requests came."""
        return self.requests["write"]
