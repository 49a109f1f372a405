"""Plain-Python models of the codecs: slow decoders and item-level encoders."""

from __future__ import annotations
