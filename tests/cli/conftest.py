"""Every test of the shell has a runtime folder of its own."""

from __future__ import annotations

from tests.live import live

__all__ = ["live"]
