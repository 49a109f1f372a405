"""From the bytes of a WIM to a tree of files, and back. Knows no front end."""

from __future__ import annotations
