"""`wimtui` and `wimtui app`: the Textual app."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Open the app; it returns when the user quits, and mounts live on."""
    # Deferred: Textual takes ten times as long to load as everything else together.
    from wimtui.app import WimtuiApp

    WimtuiApp(arguments.wims, readonly=arguments.readonly).run()
    return 0
