"""Everything that writes WIM files."""

from __future__ import annotations
