"""Seeing who keeps a folder busy."""

from __future__ import annotations

import mmap
import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING

from wimtui.control.holders import SHELL_VARIABLE, Use, find_holders

if TYPE_CHECKING:
    from pathlib import Path


def test_every_use_of_this_process_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(bytes(mmap.PAGESIZE))
    with data.open("r+b") as both, data.open("rb") as reading, data.open("ab"):
        with mmap.mmap(reading.fileno(), 0, access=mmap.ACCESS_READ):
            (holder,) = find_holders(str(tmp_path))
        assert both.writable()

    assert holder.pid == os.getpid()
    assert holder.user == pwd.getpwuid(os.geteuid()).pw_name
    assert set(holder.uses) == {
        Use("a file open for reading and writing", str(data)),
        Use("a file open for reading", str(data)),
        Use("a file open for writing", str(data)),
        Use("a mapped file", str(data)),
    }
    assert (holder.use, holder.path) == (holder.uses[0].what, holder.uses[0].path)
    assert not holder.is_shell
    assert find_holders(str(tmp_path)) == ()


def test_a_shell_of_the_app_is_told_from_others(tmp_path: Path) -> None:
    code = "import sys; print('here', flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, SHELL_VARIABLE: str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        (holder,) = find_holders(str(tmp_path))
    finally:
        child.communicate()
    assert (holder.pid, holder.is_shell) == (child.pid, True)
    assert holder.use == "its folder (a shell started by wimtui)"
