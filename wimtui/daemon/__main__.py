"""``python -m wimtui.daemon``: serves one mount until it is unmounted."""

from __future__ import annotations

from wimtui.daemon.main import main

if __name__ == "__main__":
    main()
