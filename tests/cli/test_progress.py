"""How far long work is, as people and programs are shown it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.live import SAMPLE
from tests.mounting import TIMEOUT_S, WIMTUI, wimtui
from tests.readwrite.mounts import copied_sample, mounted_rw
from wimtui.cli.progress import JsonLines, PhaseLines
from wimtui.engine.progress import Phase, Progress

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number}").write_bytes(b"%d" % number * 100)
    return folder


def lines_of(meter: PhaseLines, moments: list[Progress], *, is_done: bool) -> None:
    for moment in moments:
        meter(moment)
    meter.close(is_done=is_done)


def test_a_line_for_each_phase(capsys: pytest.CaptureFixture[str]) -> None:
    moments = [
        Progress(Phase.SCAN, items_done=1000),
        Progress(Phase.HASH, 0, 64 << 20, 0, 1000),
        Progress(Phase.HASH, 32 << 20, 64 << 20, 500, 1000, "/half"),
        Progress(Phase.SYNC),
        Progress(Phase.WRITE, 5, 5, 1, 1),
        Progress(Phase.SYNC),
    ]
    lines_of(PhaseLines(), moments, is_done=True)
    said = capsys.readouterr().err.splitlines()
    assert [line.rsplit(" in ", 1)[0] for line in said] == [
        "phase: scan 1,000 files",
        "phase: hash 1,000 files, 64.0 MiB",
        "phase: compress and write 1 blob, 5 Bytes",
        "phase: sync",
    ]


def test_a_phase_that_was_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    lines_of(PhaseLines(), [Progress(Phase.SYNC), Progress(Phase.HASH, 1, 9)], is_done=False)
    assert [line.rsplit(" ", 2)[0] for line in capsys.readouterr().err.splitlines()] == [
        "phase: sync in",
        "phase: hash stopped after",
    ]
    lines_of(PhaseLines(), [Progress(Phase.SCAN), Progress(Phase.HASH)], is_done=True)
    assert capsys.readouterr().err == ""


def test_a_program_that_stops_reading_stops_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    program = "\n".join(
        [
            "from wimtui.cli.progress import JsonLines, Phase",
            "from wimtui.engine.progress import Progress",
            "import os",
            "meter = JsonLines()",
            "for number in range(3): meter(Progress(Phase.HASH, number))",
            "meter.close()",
            "os._exit(7)",
        ]
    )
    done = subprocess.run([WIMTUI[0], "-c", program], stdout=theirs, check=False)
    os.close(theirs)
    assert done.returncode == 7
    assert JsonLines.__doc__ is not None
    assert capfd.readouterr().err == ""


def test_commands_in_pipes_say_each_phase_once(tmp_path: Path, source: Path) -> None:
    wim = tmp_path / "a.wim"
    said = wimtui("capture", source, wim, "--check").stderr
    phases = [line.split(" in ")[0] for line in said.splitlines()]
    names = [line.removeprefix("phase: ").split(" 1")[0] for line in phases]
    assert all(line.startswith("phase: ") for line in phases)
    assert len(names) == len(set(names))
    assert any(line.startswith("phase: hash 1,000 files") for line in phases)
    assert {"metadata", "sync"} <= {*names}
    assert "\r" not in said
    commands: list[list[str | Path]] = [
        ["set", wim, "1", "--name=Other"],
        ["optimize", wim],
        ["new", tmp_path / "b.wim"],
    ]
    for command in commands:
        said = wimtui(*command).stderr
        assert "phase: sync" in said
        assert "\r" not in said


def test_the_lines_of_json(tmp_path: Path, source: Path) -> None:
    said = wimtui("capture", source, tmp_path / "a.wim", "--json")
    assert said.stderr == ""
    *moments, last = map(json.loads, said.stdout.splitlines())
    assert (last["type"], last["image_index"]) == ("result", 1)
    assert {moment["type"] for moment in moments} == {"progress"}
    hashed = [moment for moment in moments if moment["phase"] == "hash"]
    assert hashed[-1]["items_total"] == 1000
    assert hashed[-1]["bytes_done"] == hashed[-1]["bytes_total"] > 0
    assert all(moment["bytes_per_s"] >= 0 for moment in moments)
    failed = wimtui("delete", tmp_path / "a.wim", "7", "--json", code=18)
    assert json.loads(failed.stdout.splitlines()[-1])["code"] == 18


def on_terminal(*arguments: str | Path, output_is_piped: bool = False) -> tuple[str, int]:
    """Run a command with a terminal; return what that shows, and the exit code."""
    ours, theirs = pty.openpty()
    stdout = subprocess.PIPE if output_is_piped else theirs
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                return
            if not piece:
                return
            shown.extend(piece)

    process = subprocess.Popen([*WIMTUI, *map(str, arguments)], stdout=stdout, stderr=theirs)
    os.close(theirs)
    reader = threading.Thread(target=read)
    reader.start()
    process.communicate(timeout=TIMEOUT_S)
    reader.join()
    os.close(ours)
    return shown.decode(), process.returncode


@pytest.mark.fuse
def test_a_commit_on_a_terminal_draws_a_bar(tmp_path: Path) -> None:
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        (mounted.path / "big").write_bytes(os.urandom(3_000_000))
        shown, code = on_terminal("commit", mounted.path)
        assert code == 0
        frames = shown.split("\r\x1b[K")
        assert any(frame.startswith("compress and write [####") for frame in frames)
        assert any(re.search(r" of .*/s, \S+ s left", frame) for frame in frames)
        assert "phase:" not in shown
        assert frames[-1].startswith(f"{mounted.wim}: appended to, image 1, 1 new blob,")
        (mounted.path / "big").write_bytes(os.urandom(3_000_000))
        shown, code = on_terminal("unmount", mounted.path, "--commit", output_is_piped=True)
        assert code == 0
        assert "\x1b" not in shown
        assert "phase: compress and write 1 blob" in shown


def test_verify_is_silent_in_pipes() -> None:
    assert wimtui("verify", SAMPLE).stderr == ""
