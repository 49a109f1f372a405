"""WIMs of every kind, each made once for a test run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.oracle.wims import KINDS, Kind, MadeWim, add_special_files, make_source, make_wim

if TYPE_CHECKING:
    from pathlib import Path

MakeWim = Callable[[Kind], MadeWim]

EVERY_KIND = [
    pytest.param(kind, id=kind.name, marks=pytest.mark.xdist_group(kind.name)) for kind in KINDS
]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_source(tmp_path_factory.mktemp("source") / "tree")
    if os.getuid() == 0:
        add_special_files(root)
    return root


@pytest.fixture(scope="session")
def wim_of(source: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeWim:
    made: dict[str, MadeWim] = {}

    def make(kind: Kind) -> MadeWim:
        if kind.name not in made:
            made[kind.name] = make_wim(kind, source, tmp_path_factory.mktemp(kind.name))
        return made[kind.name]

    return make
