"""What commands print: JSON for programs, nothing but text in pipes, help for people."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder
from tests.image.raw_metadata import Raw, build, directory
from tests.live import SAMPLE
from tests.mounting import WIMTUI, wimtui, wimtui_json
from wimtui.cli.parser import COMMANDS, COMMANDS_BY_ALIAS

if TYPE_CHECKING:
    from pathlib import Path

ODD_NAMES = ["\ud800half", "\x1b[31mred", "ünï", "a" * 255, " ", "tab\tand\nline"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    builder = WimBuilder()
    sha1 = builder.add_blob(b"data")
    builder.add_image(build(directory("", *(Raw(name, sha1=sha1) for name in ODD_NAMES))))
    return builder.build().write(tmp_path_factory.mktemp("odd") / "odd\udcff.wim")


@pytest.mark.parametrize(
    "arguments",
    [
        ["info"], ["info", "--header", "--blobs", "--xml"], ["dir"], ["dir", "--detailed"],
        ["verify"],
    ],
)  # fmt: skip
def test_json_of_odd_names(odd: Path, arguments: list[str]) -> None:
    command, *options = arguments
    found = wimtui_json(command, odd, *options)
    assert found
    if arguments == ["dir"]:
        assert len(found) == len(ODD_NAMES) + 1
        assert "/ünï" in found


def test_text_of_odd_names_is_bytes(odd: Path) -> None:
    listed = wimtui("dir", odd).stdout.encode("utf-8", "surrogateescape")
    assert b"\xed\xa0\x80half" in listed
    assert wimtui("cat", odd, "1", "/ünï").stdout == "data"


def test_json_says_what_the_text_says() -> None:
    facts = wimtui_json("info", SAMPLE)["archive"]
    assert facts["image_count"] == len(facts["images"]) == 2
    assert wimtui_json("info", SAMPLE, "2")["image"]["name"] == "Windows Sample Professional"
    assert wimtui_json("dir", SAMPLE, "1") == wimtui("dir", SAMPLE, "1").stdout.splitlines()
    assert wimtui_json("verify", SAMPLE)["damaged"] == []
    assert isinstance(wimtui_json("mounts"), list)


def test_json_also_when_blobs_are_bad(odd: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wim"
    data = bytearray(odd.read_bytes())
    data[data.index(b"data")] ^= 1
    bad.write_bytes(data)
    done = wimtui("verify", bad, "--json", code=28)
    (damaged,) = json.loads(done.stdout)["damaged"]
    assert len(damaged["paths"]) == len(ODD_NAMES)


def test_no_progress_in_pipes() -> None:
    done = wimtui("verify", SAMPLE)
    assert done.stderr == ""
    assert "\r" not in done.stdout


def on_terminal(*arguments: str | Path) -> bytes:
    """Run a command with a terminal for output and return what it shows."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*WIMTUI, *map(str, arguments)], stdout=theirs, stderr=theirs):
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    return shown


def test_progress_on_a_terminal() -> None:
    shown = on_terminal("verify", SAMPLE)
    assert b"\r\x1b[K" in shown
    assert b"MiB/s" in shown or b"KiB/s" in shown or b"Bytes/s" in shown
    assert b"\x1b" not in shown.rsplit(b"\x1b[K", 1)[1]


def test_names_do_not_command_a_terminal(odd: Path) -> None:
    shown = on_terminal("dir", odd)
    assert b"\x1b" not in shown
    assert b"\\x1b[31mred" in shown
    assert b"\x1b" not in on_terminal("cat", odd, "1", "/\x1b]0;title")


def test_an_interrupt_is_one_line(tmp_path: Path) -> None:
    fifo = tmp_path / "in"
    os.mkfifo(fifo)
    assert len(wimtui("info", fifo, code=47).stderr.splitlines()) == 1


@pytest.mark.parametrize("pipe", ["head -1", "true"])
def test_a_reader_that_leaves(pipe: str) -> None:
    script = f"{' '.join(WIMTUI)} dir {SAMPLE} 2 --detailed | {pipe}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_help() -> None:
    text = wimtui("--help").stdout
    for command in COMMANDS:
        assert f"    {command} " in text
    assert "EXIT_CODES" in " ".join(text.split())


@pytest.mark.parametrize("command", [*COMMANDS, *COMMANDS_BY_ALIAS])
def test_help_of_a_command(command: str) -> None:
    text = wimtui(command, "--help").stdout
    assert text.startswith(f"usage: wimtui {COMMANDS_BY_ALIAS.get(command, command)}")
    assert "exit codes" in text.lower()
