"""Mounting through the command line, as a user does."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WIMTUI = [sys.executable, "-m", "wimtui"]
TIMEOUT_S = 120


def wimtui(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line, which must exit with ``code`` and never with a traceback."""
    done = subprocess.run(
        [*WIMTUI, *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=TIMEOUT_S,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, (done.returncode, done.stderr)
    return done


def wimtui_json(*arguments: str | Path) -> Any:
    """Run a command with ``--json`` and return what it prints, of JSON lines the result."""
    said = wimtui(*arguments, "--json").stdout
    return json.loads(said.splitlines()[-1] if said.startswith('{"') else said)


@contextmanager
def mount_point() -> Iterator[Path]:
    """An empty folder outside pytest's own, which parallel runs clear right into a mount."""
    with tempfile.TemporaryDirectory(prefix="wimtui-test-") as folder:
        where = Path(folder).resolve() / "mnt"
        where.mkdir()
        yield where
        assert not where.is_mount(), f"{where} is still mounted"


@contextmanager
def mounted(wim: Path, *options: str, image: str = "1") -> Iterator[Path]:
    """Mount an image; unmounts at the end, even if something still holds files open."""
    with mount_point() as where:
        wimtui("mount", wim, image, where, *options)
        try:
            yield where
        finally:
            wimtui("unmount", where, "--force")
