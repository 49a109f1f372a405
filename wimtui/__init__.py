"""Mount, inspect and edit Windows Imaging (WIM) archives from a terminal."""

from __future__ import annotations

__version__ = "0.1.0"
