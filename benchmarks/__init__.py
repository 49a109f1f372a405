"""Ours and wimlib-imagex's in one run, on the same files, as ratios."""

from __future__ import annotations
