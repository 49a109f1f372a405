"""Names of users."""

from __future__ import annotations

import pwd


def user_name(uid: int) -> str:
    """The name of a user, the number of one who has none, a question mark for nobody known."""
    if uid < 0:
        return "?"
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)
