"""Raw block codecs: bytes in, bytes out. They know nothing of WIM."""

from __future__ import annotations
