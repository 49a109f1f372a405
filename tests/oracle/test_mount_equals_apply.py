"""The mounted tree is what `wimlib-imagex apply` writes, for every kind of WIM."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.mounting import mounted
from tests.oracle.trees import differences, snapshot
from tests.oracle.wims import KINDS, STREAMS, Kind, add_special_files, make_source, make_wim, wimlib

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.oracle, pytest.mark.mqueue]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_source(tmp_path_factory.mktemp("source") / "tree")
    if os.getuid() == 0:
        add_special_files(root)
    return root


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_mounted_tree_equals_applied_tree(kind: Kind, source: Path, tmp_path: Path) -> None:
    made = make_wim(kind, source, tmp_path)
    applied = tmp_path / "applied"
    unix_data = ["--unix-data"] if kind.unix_data else []
    wimlib("apply", made.path, "1", applied, *made.ref_options, *unix_data)

    with mounted(made.path, *made.ref_options, *unix_data) as where:
        ours, our_links = snapshot(where, owners=kind.unix_data)
        if kind.streams:
            for name, streams in STREAMS.items():
                for stream, value in streams.items():
                    assert os.getxattr(where / name, f"user.{stream}") == value
    theirs, their_links = snapshot(applied, owners=kind.unix_data)

    assert differences(ours, theirs) == []
    assert our_links == their_links
    assert len(theirs) > 200
