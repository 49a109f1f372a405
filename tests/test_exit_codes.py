"""The numbers that processes exit with: one list in the code, the manual and the errors."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import wimtui
from wimtui.cli.diagnostics import ExitCode
from wimtui.control.errors import ControlError
from wimtui.engine.errors import WimError

MANUAL = Path(wimtui.__file__).resolve().parent.parent / "docs" / "EXIT_CODES.md"
UNIMPORTABLE = ("wimtui.__main__", "wimtui.daemon.__main__")


def documented() -> dict[int, str]:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", MANUAL.read_text(encoding="utf-8"), re.MULTILINE)
    codes = [int(code) for code, _ in rows]
    assert codes == sorted(set(codes)), "each code once, in order"
    return {int(code): text for code, text in rows}


def error_classes() -> list[type[WimError | ControlError]]:
    for module in pkgutil.walk_packages(wimtui.__path__, "wimtui."):
        if module.name not in UNIMPORTABLE:
            importlib.import_module(module.name)
    found: list[type[WimError | ControlError]] = [WimError, ControlError]
    for one in found:
        found += [sub for sub in one.__subclasses__() if sub not in found]
    return found


def test_the_manual_lists_exactly_the_codes() -> None:
    assert set(documented()) == {int(code) for code in ExitCode}


def test_every_error_has_a_code_of_the_list() -> None:
    classes = error_classes()
    assert len(classes) > 50
    known = {int(code) for code in ExitCode}
    unknown = {one.__name__: one.code for one in classes if one.code not in known}
    assert unknown == {}


@pytest.mark.parametrize("code", [0, 130, 141, 255])
def test_codes_of_the_shell_are_no_errors(code: int) -> None:
    assert [one.__name__ for one in error_classes() if one.code == code] == []


def test_every_code_of_a_cause_belongs_to_an_error() -> None:
    used = {one.code for one in error_classes()}
    without_error = {
        ExitCode.SUCCESS, ExitCode.INTERRUPTED, ExitCode.BROKEN_PIPE, ExitCode.USAGE,
    }  # fmt: skip
    assert {code for code in ExitCode if code not in used} <= without_error
