"""``python -m wimtui``."""

from __future__ import annotations

from wimtui.cli.main import main

if __name__ == "__main__":
    main()
