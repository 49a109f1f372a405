"""The mounted tree is what `wimlib-imagex apply` writes, for every kind of WIM."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.mounting import mounted
from tests.oracle.conftest import EVERY_KIND, MakeWim
from tests.oracle.trees import differences, snapshot
from tests.oracle.wims import STREAMS, Kind, wimlib

pytestmark = [pytest.mark.fuse, pytest.mark.oracle, pytest.mark.mqueue]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_mounted_tree_equals_applied_tree(kind: Kind, wim_of: MakeWim, tmp_path: Path) -> None:
    made = wim_of(kind)
    applied = tmp_path / "applied"
    unix_data = ["--unix-data"] if kind.unix_data else []
    wimlib("apply", made.path, "1", applied, *made.ref_options, *unix_data)

    with mounted(made.path, *made.ref_options, *unix_data) as where:
        ours, our_links = snapshot(where, owners=kind.unix_data)
        if kind.streams:
            for name, streams in STREAMS.items():
                for stream, value in streams.items():
                    assert os.getxattr(where / name, f"user.{stream}") == value
                assert sorted(os.listxattr(where / name)) == sorted(f"user.{s}" for s in streams)
    theirs, their_links = snapshot(applied, owners=kind.unix_data)

    assert differences(ours, theirs) == []
    assert our_links == their_links
    assert len(theirs) > 200


def test_sample_with_junctions_equals_applied_tree(tmp_path: Path) -> None:
    sample = Path("tools/sample/sample.wim")
    applied = tmp_path / "applied"
    wimlib("apply", sample, "2", applied)

    with mounted(sample, image="2") as where:
        ours, our_links = snapshot(where)
        assert os.readlink(where / "Users/All Users") == f"{where}/ProgramData"
        assert os.getxattr(where / "setup.exe", "user.Zone.Identifier").startswith(b"[Zone")
    theirs, their_links = snapshot(applied)

    assert differences(ours, theirs) == []
    assert our_links == their_links
    assert frozenset({"Windows/notepad.exe", "Windows/System32/notepad.exe"}) in our_links
