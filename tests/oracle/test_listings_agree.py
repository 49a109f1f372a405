"""`info`, `dir` and `verify` say of every kind of WIM what wimlib-imagex says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.mounting import wimtui
from tests.oracle.conftest import EVERY_KIND, MakeWim
from tests.oracle.wims import Kind, wimlib

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.oracle

SAMPLE = "tools/sample/sample.wim"
EMPTY_BLOB = re.compile(
    r"\tUnnamed data stream:\nHash              = 0x0{40}\n(?:[A-Z].*\n){6}\n", re.MULTILINE
)


def fields(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def blobs(text: str) -> list[str]:
    """wimlib lists blobs in the order of its hash table, so the order says nothing."""
    return sorted(block.strip() for block in text.split("\n\n") if block.strip())


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_info_agrees_field_by_field(kind: Kind, wim_of: MakeWim) -> None:
    path = wim_of(kind).path

    assert fields(wimtui("info", path).stdout) == fields(wimlib("info", path))
    ours = wimtui("info", path, "--header").stdout
    assert fields(ours) == fields(wimlib("info", path, "--header"))
    assert blobs(wimtui("info", path, "--blobs").stdout) == blobs(wimlib("info", path, "--blobs"))


@pytest.mark.parametrize("options", [(), ("1",), ("2",), ("--header",)], ids=str)
def test_info_of_the_sample_agrees(options: tuple[str, ...]) -> None:
    ours = wimtui("info", SAMPLE, *options).stdout

    assert fields(ours) == fields(wimlib("info", SAMPLE, *options))


def test_xml_agrees(tmp_path: Path) -> None:
    extracted = tmp_path / "x.xml"
    wimlib("info", SAMPLE, f"--extract-xml={extracted}")

    assert wimtui("info", SAMPLE, "--xml").stdout.rstrip("\n") == (
        extracted.read_bytes().decode("utf-16")
    )


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_dir_agrees(kind: Kind, wim_of: MakeWim) -> None:
    made = wim_of(kind)
    refs = made.ref_options

    ours = wimtui("dir", made.path, "1", *refs).stdout
    assert ours == wimlib("dir", made.path, "1", *refs)
    detailed = wimtui("dir", made.path, "1", "--detailed", *refs).stdout
    # wimlib 1.13 shows directories and links an empty stream that they do not have.
    theirs = EMPTY_BLOB.sub("", wimlib("dir", made.path, "1", "--detailed", *refs))
    mine = EMPTY_BLOB.sub("", detailed)
    assert [line for line in fields(mine) if line] == [line for line in fields(theirs) if line]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_verify_finds_nothing_wrong(kind: Kind, wim_of: MakeWim) -> None:
    made = wim_of(kind)

    done = wimtui("verify", made.path, *made.ref_options)

    assert done.stdout.rstrip().endswith("0 bad")
    assert done.stderr == ""
