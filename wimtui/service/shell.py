"""A shell in a folder, with the terminal to itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def run_shell(folder: str) -> int:
    """Run the user's shell in a folder and return its exit code when it ends.

    Only the shell enters the folder; this process never does, or it would keep a mount busy.

    Raises:
        OSError: There is no such folder, or no such shell.
    """
    shell = os.environ.get("SHELL") or "/bin/sh"
    print(f"{Path(shell).name} in {folder}; exit brings you back to wimtui", flush=True)
    child = subprocess.Popen([shell], cwd=folder, env={**os.environ, "WIMTUI_MOUNT": folder})
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
