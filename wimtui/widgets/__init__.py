"""Pieces of screens: they take values and post messages."""

from __future__ import annotations
