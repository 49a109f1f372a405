"""Changes over an image, and the folder that keeps them through any kill."""

from __future__ import annotations
