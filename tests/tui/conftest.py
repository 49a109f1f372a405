"""Every test of the app has folders, a registry and a WIM of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from tests.tui.driving import ROOT, Mounter, mountinfo_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = ROOT / "tools" / "sample" / "sample.wim"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path with all the folders that the app writes to; nothing is mounted there after."""
    folder = Path(tempfile.mkdtemp(prefix="wt", dir="/tmp"))
    for name in ("config", "state", "cache"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(folder / name))
    monkeypatch.setenv("WIMTUI_RUNTIME_DIR", str(folder / "run"))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield folder
    for line in mountinfo_lines():
        point = line.split(" ")[4]
        if point.startswith(f"{folder}/"):
            subprocess.run(["fusermount3", "-uz", point], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def wim(home: Path) -> Path:
    """The sample: two images with Windows properties, links, streams and security."""
    path = home / "sample.wim"
    shutil.copy(SAMPLE, path)
    return path


@pytest.fixture
def mounter(home: Path) -> Iterator[Mounter]:
    """Mounts with the command line, and ends what is left."""
    made = Mounter(home)
    yield made
    made.end_all()


@pytest.fixture(autouse=True)
def still_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """No blinking, which would show by chance."""

    def stay(_: Input, __: bool = True) -> None:
        return

    monkeypatch.setattr(Input, "_toggle_cursor", stay, raising=False)
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    assert os.environ["TEXTUAL_ANIMATIONS"] == "none"
