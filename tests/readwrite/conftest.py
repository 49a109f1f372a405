"""Registry, notes and logs of these tests are their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.readwrite.mounts import Mounted, copied_sample, mounted_rw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIMTUI_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def wim(tmp_path: Path) -> Path:
    return copied_sample(tmp_path)


@pytest.fixture
def mounted(wim: Path) -> Iterator[Mounted]:
    with mounted_rw(wim) as mounted:
        yield mounted
