"""One process per mount."""

from __future__ import annotations
