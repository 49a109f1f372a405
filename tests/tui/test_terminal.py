"""The whole story in a real terminal, played through tmux."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tui.driving import ROOT, is_mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.mqueue,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

DEADLINE_S = 120.0
_RANDOM_NBYTES = 18_000_000
"""As text they keep the compressor busy for a second where it is quick."""

_QUICK_S = 1.5
"""A commit that is over so soon may end before its panel opens."""


class Terminal:
    """A tmux session with a server of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = str(folder / "tmux")
        self._log = folder / "state" / "wimtui" / "logs" / "app.log"

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *words],
            capture_output=True, text=True, check=False, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        return done.stdout

    def start(self, columns: int, rows: int) -> None:
        self.tmux(
            "new-session", "-d", "-x", str(columns), "-y", str(rows), "env PS1='$ ' bash --norc"
        )
        self.until(lambda: "$" in self.screen(), "a prompt")

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def record(self, path: Path) -> None:
        """Keep all that is drawn, however briefly it is seen."""
        self.tmux("pipe-pane", f"cat > {path}")

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                log = self._log.read_text() if self._log.exists() else ""
                raise AssertionError(f"not so: {what}\n{self.screen()}\n{log[-2000:]}")
            time.sleep(0.05)

    def until_shown(self, text: str) -> None:
        self.until(lambda: text in self.screen(), f"{text!r} is on screen")

    def end(self) -> None:
        self.tmux("kill-server")


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for its parent to notice."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rsplit(")", 1)[1].split()[0] == "Z"


@pytest.fixture
def terminal(home: Path) -> Iterator[Terminal]:
    made = Terminal(home)
    yield made
    made.end()


def test_mount_read_unmount_quit(terminal: Terminal, wim: Path, home: Path) -> None:
    point = home / "point"
    terminal.start(80, 24)
    terminal.type(f"cd {ROOT} && {sys.executable} -m wimtui {wim}")
    terminal.press("Enter")
    terminal.until_shown("Windows Sample PE")
    terminal.press("m")
    terminal.until_shown("The same from a shell")
    terminal.until_shown("missing; it is made")
    terminal.press("C-u")
    terminal.until_shown("choose an empty folder")
    terminal.type(str(point))
    terminal.until_shown(f"1 {point}")
    terminal.until_shown("missing; it is made")
    terminal.press("Enter")
    terminal.until(lambda: is_mounted(point), "it is mounted")
    assert (point / "Windows").is_dir()
    terminal.until(lambda: "The same from a shell" not in terminal.screen(), "the dialog is gone")
    terminal.press("Escape")
    # Home has the cursor on what was mounted last.
    terminal.until_shown(f"Mount point  {point}")
    # A shell in the mount, and back.
    terminal.press("s")
    terminal.until_shown("exit brings you back")
    terminal.type("ls Windows/INF | head -1; exit")
    terminal.press("Enter")
    terminal.until_shown(f"Mount point  {point}")
    terminal.press("u")
    terminal.until(lambda: not is_mounted(point), "it is unmounted")
    terminal.press("q")
    terminal.until(lambda: terminal.screen().rstrip().endswith("$"), "the prompt is back")
    assert "Traceback" not in terminal.screen()


def in_shell(folder: Path, line: str) -> None:
    """Have a shell of its own run something in a folder."""
    subprocess.run(["bash", "-c", line], cwd=folder, check=True)


def mount_read_write(terminal: Terminal, point: Path) -> None:
    """Mount image 1 of the WIM on screen through the dialog, and go to Home."""
    terminal.press("m")
    terminal.until_shown("missing; it is made")
    terminal.press("BTab", "Enter")
    terminal.until_shown("read-write, changes are staged")
    terminal.press("Down", "Enter")
    terminal.until_shown("wimtui mount --rw")
    terminal.until_shown("changes are staged there")
    terminal.press("Tab", "C-u")
    terminal.until_shown("choose an empty folder")
    terminal.type(str(point))
    terminal.until_shown(f"1 {point}")
    terminal.until_shown("missing; it is made")
    terminal.press("C-s")
    terminal.until(lambda: is_mounted(point), "it is mounted")
    terminal.until(lambda: "The same from a shell" not in terminal.screen(), "the dialog is gone")
    terminal.press("Escape")
    terminal.until_shown(f"Mount point  {point}")
    terminal.until_shown("0 changes, 0 bytes staged")


def commit_with_progress(terminal: Terminal, record: Path, point: Path) -> None:
    """Save what Staging shows, and see how far it is meanwhile."""
    terminal.press("c")
    terminal.until_shown(f"wimtui commit {point}")
    terminal.until_shown("2 changes: 1 added, 1 modified")
    terminal.until_shown("Writes about")
    began = time.monotonic()
    terminal.press("C-s")
    terminal.until_shown("Nothing has changed.")
    lasted = time.monotonic() - began
    drawn = record.read_text(errors="replace")
    assert "● running" in drawn or lasted < _QUICK_S
    terminal.until(lambda: "Jobs" not in terminal.screen(), "the panel goes with the commit")
    terminal.press("J")
    terminal.until_shown(f"● done       Commit {point}")
    terminal.until_shown("✓ write")
    assert "✓ hash" in terminal.screen()
    terminal.press("Escape")
    terminal.until(lambda: "Jobs" not in terminal.screen(), "the panel is left")


def test_the_whole_story(
    terminal: Terminal, wim: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point, record = home / "point", home / "record"
    terminal.start(80, 24)
    terminal.record(record)
    terminal.type(f"cd {ROOT} && {sys.executable} -m wimtui {wim}")
    terminal.press("Enter")
    terminal.until_shown("Windows Sample PE")
    mount_read_write(terminal, point)
    terminal.press("t")
    terminal.until_shown("Nothing has changed.")

    in_shell(point, "echo a line from outside >> license.rtf")
    written = time.monotonic()
    terminal.until_shown("license.rtf")
    delay = time.monotonic() - written
    terminal.until_shown("1 modified")
    terminal.until_shown("+a line from outside")
    in_shell(point, f"head -c {_RANDOM_NBYTES} /dev/urandom | base64 -w0 > added.txt")
    terminal.until_shown("1 added, 1 modified")
    terminal.until_shown("added.txt")

    commit_with_progress(terminal, record, point)
    names = run_wimtui("dir", wim, "1").splitlines()
    assert "/added.txt" in names
    assert run_wimtui("cat", wim, "1", "/license.rtf").endswith("\na line from outside\n")
    assert (point / "license.rtf").read_text().endswith("\na line from outside\n")
    terminal.press("Escape")
    terminal.until_shown(f"Mount point  {point}")
    terminal.until_shown("0 changes, 0 bytes staged")
    terminal.press("u")
    terminal.until(lambda: not is_mounted(point), "it is unmounted")
    terminal.until(lambda: f"Mount point  {point}" not in terminal.screen(), "it left the list")
    terminal.press("q")
    terminal.until(lambda: terminal.screen().rstrip().endswith("$"), "the prompt is back")
    assert "Traceback" not in record.read_text(errors="replace")
    assert run_wimtui("verify", wim)
    with capsys.disabled():
        print(f"\na change shows {delay * 1000:.0f} ms after it was written")


def run_wimtui(*words: str | Path) -> str:
    """Return what a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "wimtui", *map(str, words)],
        capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ,
    )  # fmt: skip
    return done.stdout


def test_a_hang_up_of_a_terminal_that_lives_restores_it(
    terminal: Terminal, wim: Path, home: Path
) -> None:
    pid_file = home / "pid"
    terminal.start(80, 24)
    terminal.type(f"cd {ROOT}; (echo $BASHPID > {pid_file}; exec {sys.executable} -m wimtui {wim})")
    terminal.press("Enter")
    terminal.until_shown("Windows Sample PE")
    os.kill(int(pid_file.read_text()), signal.SIGHUP)
    terminal.until(lambda: terminal.screen().rstrip().endswith("$"), "the prompt is back")
    terminal.type("stty -a | grep -ow -- '-*echo'")
    terminal.press("Enter")
    terminal.until(lambda: "echo" in terminal.screen().split("\n"), "what is typed shows again")
    modes = "#{alternate_on}#{mouse_any_flag}#{cursor_flag}"
    assert terminal.tmux("display-message", "-p", modes).strip() == "001"
    assert "Windows Sample PE" not in terminal.screen()


def test_a_lost_terminal_leaves_the_mount_alive(terminal: Terminal, wim: Path, home: Path) -> None:
    point = home / "point"
    point.mkdir()
    subprocess.run([sys.executable, "-m", "wimtui", "mount", wim, "1", point], check=True, cwd=ROOT)
    terminal.start(120, 36)
    pid_file = home / "pid"
    terminal.type(f"cd {ROOT}; echo $$ > {pid_file}; exec {sys.executable} -m wimtui")
    terminal.press("Enter")
    terminal.until_shown("● ok")
    pid = int(pid_file.read_text())
    terminal.end()
    terminal.until(lambda: has_ended(pid), "the app has ended")
    assert (point / "Windows").is_dir()
    log = (home / "state" / "wimtui" / "logs" / "app.log").read_text()
    assert "Traceback" not in log
    subprocess.run([sys.executable, "-m", "wimtui", "unmount", point], check=True, cwd=ROOT)
