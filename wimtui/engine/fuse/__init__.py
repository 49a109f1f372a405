"""The kernel's requests answered from a tree."""

from __future__ import annotations
