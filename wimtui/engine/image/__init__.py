"""Metadata bytes and dentries, inodes, streams."""

from __future__ import annotations
