"""Bytes on disk and header, resources, tables."""

from __future__ import annotations
