"""One screen a module."""

from __future__ import annotations
