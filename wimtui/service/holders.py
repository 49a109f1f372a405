"""Who keeps a mount busy, for front ends."""

from __future__ import annotations

from wimtui.control.holders import Holder, find_holders

__all__ = ["Holder", "holders_of"]


def holders_of(mount_point: str) -> tuple[Holder, ...]:
    """Return the processes that use something below a mount point, as far as this user may see."""
    return find_holders(mount_point)
