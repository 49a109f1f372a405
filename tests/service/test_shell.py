"""Pagers, editors and temporary copies for them."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wimtui.service.shell import (
    open_in_editor,
    open_in_pager,
    remove_temporary_copy,
    temporary_copy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLES = ("PAGER", "VISUAL", "EDITOR")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs that write down how they were called, and no others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("seen", "less", "vi"):
        (folder / name).write_text(
            f'#!/bin/sh\nprintf "%s\\n" {name} "$@" > "{tmp_path}/called"\nexit 3\n'
        )
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return folder


def called(tmp_path: Path) -> list[str]:
    return (tmp_path / "called").read_text().splitlines()


def test_the_users_programs_are_run_with_their_options(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "a file")
    monkeypatch.setenv("PAGER", "seen -R '--x y'")
    assert open_in_pager(path) == 3
    assert called(tmp_path) == ["seen", "-R", "--x y", path]
    monkeypatch.setenv("EDITOR", "seen -e")
    assert open_in_editor(path) == 3
    assert called(tmp_path) == ["seen", "-e", path]
    monkeypatch.setenv("VISUAL", "seen -v")
    open_in_editor(path)
    assert called(tmp_path) == ["seen", "-v", path]


def test_without_a_choice_the_usual_ones_are_run(programs: Path, tmp_path: Path) -> None:
    assert open_in_pager("/x") == 3
    assert called(tmp_path) == ["less", "/x"]
    assert open_in_editor("/x") == 3
    assert called(tmp_path) == ["vi", "/x"]
    for name in ("less", "vi"):
        (programs / name).unlink()
    with pytest.raises(FileNotFoundError, match="PAGER"):
        open_in_pager("/x")
    with pytest.raises(FileNotFoundError, match="EDITOR"):
        open_in_editor("/x")


def test_a_relative_path_is_no_option(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_in_pager("-rf")
    assert called(tmp_path) == ["less", str(tmp_path / "-rf")]


def test_temporary_copies_have_the_name_and_go(tmp_path: Path) -> None:
    path = Path(temporary_copy("name.txt", iter([b"one", b"two"])))
    assert (path.name, path.read_bytes()) == ("name.txt", b"onetwo")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for _ in range(2):
        remove_temporary_copy(str(path))
        assert not path.parent.exists()
    odd = Path(temporary_copy("../../etc/x", [b""]))
    assert odd.name == "file"
    remove_temporary_copy(str(odd))
    mine = tmp_path / "mine"
    mine.write_text("kept")
    remove_temporary_copy(str(mine))
    assert mine.exists()


def test_nothing_is_left_of_a_copy_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        temporary_copy("name", pieces())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_pagers_get_utf_16_as_utf_8(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    text = "Grüße, two lines\r\nof a setup log\r\n"
    data = text.encode(encoding)
    if encoding == "utf-16-be":
        data = b"\xfe\xff" + data
    path = tmp_path / "setup.log"
    path.write_bytes(data)
    (programs / "keep").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$1" > "{tmp_path}/called"\n/bin/cat "$1" > "{tmp_path}/read"\n'
    )
    (programs / "keep").chmod(0o755)
    monkeypatch.setenv("PAGER", "keep")
    assert open_in_pager(str(path)) == 0
    assert (tmp_path / "read").read_bytes().decode() == text
    (copy,) = called(tmp_path)
    assert Path(copy).name == "setup.log"
    assert not Path(copy).parent.exists()
    # Editors take what there is: they know the encoding, and a copy could not be saved.
    monkeypatch.setenv("EDITOR", "seen")
    open_in_editor(str(path))
    assert called(tmp_path) == ["seen", str(path)]


def test_pagers_get_other_files_as_they_are(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "seen")
    for data in (b"text\n", b"", bytes(range(256))):
        path = tmp_path / "file"
        path.write_bytes(data)
        open_in_pager(str(path))
        assert called(tmp_path) == ["seen", str(path)]
