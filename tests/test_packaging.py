"""What pyproject.toml says of the kernels, and what the sources say."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import wimtui
from tests.conftest import ROOT, _headers

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TABLES: list[dict[str, Any]] = PROJECT["tool"]["setuptools"]["ext-modules"]
KERNELS = sorted(path.relative_to(ROOT) for path in (ROOT / "wimtui").rglob("*.pyx"))


def table_of(kernel: Path) -> dict[str, Any]:
    (table,) = [one for one in TABLES if one["sources"] == [str(kernel)]]
    return table


def test_every_kernel_is_declared_once() -> None:
    assert sorted(Path(one["sources"][0]) for one in TABLES) == KERNELS
    assert len(KERNELS) >= 11


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.stem)
def test_a_kernel_is_declared_in_full(kernel: Path) -> None:
    table = table_of(kernel)
    assert table["name"] == ".".join(kernel.with_suffix("").parts)
    assert table["extra-compile-args"] == ["-O3", "-g0"]
    headers = sorted(str(path.relative_to(ROOT)) for path in _headers(ROOT / kernel))
    assert sorted(table.get("depends", [])) == headers


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.stem)
def test_a_kernel_has_a_stub_and_the_house_directives(kernel: Path) -> None:
    source = ROOT / kernel
    assert source.with_suffix(".pyi").is_file()
    lines = source.read_text(encoding="utf-8").splitlines()
    stated = " ".join(line for line in lines[:8] if line.startswith("# cython:"))
    for directive in ("language_level=3", "boundscheck=False", "cdivision=True"):
        assert directive in stated


def test_no_stub_without_a_kernel() -> None:
    stubs = (path.relative_to(ROOT) for path in (ROOT / "wimtui").rglob("*.pyi"))
    assert {stub.with_suffix(".pyx") for stub in stubs} == set(KERNELS)


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert wimtui.__version__ == version
    said = subprocess.run(
        [sys.executable, "-m", "wimtui", "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout == f"wimtui {version}\n"
    changes = ROOT / "CHANGELOG.md"
    if changes.exists():
        assert re.search(
            rf"^## \[?({re.escape(version)}|Unreleased)\b", changes.read_text(), re.MULTILINE
        )


def test_the_script_is_there() -> None:
    assert PROJECT["project"]["scripts"] == {"wimtui": "wimtui.cli.main:main"}
