"""What every front end can do: values in, values out."""

from __future__ import annotations
