"""`wimtui mountrw`: as `wimtui mount --rw`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli.commands.mount import mount

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Mount read-write."""
    return mount(arguments, read_write=True)
