"""What a codec raises."""

from __future__ import annotations


class CodecError(ValueError):
    """A block cannot be decoded: it is malformed or truncated."""
