"""What each program loads: commands start in milliseconds, and layers stay apart."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wimtui.cli.parser import COMMANDS

FORBIDDEN = {
    "engine": {"textual", "posix_ipc", "rich"},
    "daemon": {"textual", "rich"},
    "command": {"textual", "rich", "pyfuse3", "trio", "asyncio"},
}
ENGINE = (
    "import pkgutil, importlib, wimtui.engine as e\n"
    "for m in pkgutil.walk_packages(e.__path__, 'wimtui.engine.'): importlib.import_module(m.name)"
)


def loaded(program: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after a program."""
    probe = f"import sys\n{program}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "app"])
def test_a_command_loads_no_screen_and_no_file_system(command: str) -> None:
    found = loaded(f"import wimtui.cli.main, wimtui.cli.commands.{command}")
    assert "wimtui" in found
    assert found & FORBIDDEN["command"] == set()


def test_the_engine_loads_no_screen_and_no_queues() -> None:
    found = loaded(ENGINE)
    assert "pyfuse3" in found
    assert found & FORBIDDEN["engine"] == set()


def test_the_daemon_loads_no_screen() -> None:
    found = loaded("import wimtui.daemon.main")
    assert {"pyfuse3", "posix_ipc", "trio"} <= found
    assert found & FORBIDDEN["daemon"] == set()


def test_the_probe_sees_what_is_loaded() -> None:
    assert "asyncio" in loaded("import asyncio")
