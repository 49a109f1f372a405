"""Folders: which one it is, and that it is ours."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from wimtui import paths

UID = os.geteuid()
only_root = pytest.mark.skipif(UID != 0, reason="only root can give folders away")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of the system, elsewhere; and an environment that says nothing."""
    monkeypatch.setattr(paths, "_ROOT_RUNTIME", tmp_path / "run" / "wimtui")
    monkeypatch.setattr(paths, "_RUN_USER", tmp_path / "run" / "user")
    monkeypatch.setattr(paths, "_TEMPORARY", tmp_path / "tmp")
    names = ("RUNTIME_DIR", "STATE_HOME", "CONFIG_HOME", "CACHE_HOME")
    for name in (paths.RUNTIME_DIR_VARIABLE, *(f"XDG_{name}" for name in names)):
        monkeypatch.delenv(name, raising=False)
    for name in ("run/user", "tmp", "home"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another number than root's, for the choice of the folder; the folders stay ours."""
    monkeypatch.setattr(paths, "_is_ours", lambda folder: folder.is_dir())
    real = os.geteuid
    monkeypatch.setattr(paths.os, "geteuid", lambda: real() or 1000)  # type: ignore[attr-defined]


def mode_of(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_the_override_wins(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.RUNTIME_DIR_VARIABLE, str(places / "a" / "b"))
    assert paths.runtime_dirs() == ()
    assert paths.runtime_dir() == places / "a" / "b"
    assert mode_of(places / "a" / "b") == 0o700
    assert paths.runtime_dirs() == (places / "a" / "b",)
    assert paths.all_runtime_dirs() == ((UID, places / "a" / "b"),)


def test_xdg_runtime_dir(places: Path, monkeypatch: pytest.MonkeyPatch, not_root: None) -> None:
    session = places / "session"
    session.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    if UID != 0:
        assert paths.runtime_dir() == session / "wimtui"
    assert paths._runtime_candidates()[0] == session / "wimtui"


def test_a_relative_or_missing_xdg_runtime_dir_is_ignored(
    places: Path, monkeypatch: pytest.MonkeyPatch, not_root: None
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert not any(str(folder).startswith("relative") for folder in paths._runtime_candidates())


@pytest.mark.skipif(UID != 0, reason="root's own folder")
def test_roots_folder_does_not_depend_on_the_environment(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "home"))
    assert paths.runtime_dir() == places / "run" / "wimtui"


@pytest.mark.skipif(UID == 0, reason="root has /run")
def test_without_a_session_it_is_run_user_if_that_is_ours(places: Path) -> None:
    (places / "run" / "user" / str(UID)).mkdir()
    assert paths.runtime_dir() == places / "run" / "user" / str(UID) / "wimtui"


def test_the_last_resort_is_tmp(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_ROOT_RUNTIME", places / "nowhere" / "wimtui")
    assert paths.runtime_dir() == places / "tmp" / f"wimtui-{UID}"
    assert mode_of(paths.runtime_dir()) == 0o700


def test_a_link_in_tmp_is_refused(places: Path) -> None:
    (places / "target").mkdir()
    (places / "tmp" / "link").symlink_to(places / "target")
    with pytest.raises(paths.UnsafeFolderError, match="is no folder"):
        paths.private_folder(places / "tmp" / "link")
    (places / "tmp" / "dangling").symlink_to(places / "nothing")
    with pytest.raises(paths.UnsafeFolderError, match="is no folder"):
        paths.private_folder(places / "tmp" / "dangling")
    (places / "tmp" / "file").touch()
    with pytest.raises(paths.UnsafeFolderError, match="is no folder"):
        paths.private_folder(places / "tmp" / "file")


@only_root
def test_a_folder_of_somebody_else_is_refused(places: Path) -> None:
    planted = places / "tmp" / "wimtui-0"
    planted.mkdir()
    os.chown(planted, 65534, -1)
    with pytest.raises(paths.UnsafeFolderError, match="belongs to user 65534"):
        paths.private_folder(planted)


def test_an_open_folder_is_closed(places: Path) -> None:
    folder = places / "open"
    folder.mkdir()
    folder.chmod(0o777)
    assert paths.private_folder(folder) == folder
    assert mode_of(folder) == 0o700


@only_root
def test_root_finds_the_folders_of_all_users(places: Path) -> None:
    for name, owner in (
        ("run/user/1000/wimtui", 1000),
        ("tmp/wimtui-1001", 1001),
        ("tmp/wimtui-1002", 1003),
        ("tmp/wimtui-x", 1004),
        ("tmp/1005", 1005),
        ("run/user/1006/wimtui", 0),
    ):
        folder = places / name
        folder.mkdir(parents=True, mode=0o700)
        os.chown(folder, owner, -1)
    paths.runtime_dir()
    assert paths.all_runtime_dirs() == (
        (0, places / "run" / "wimtui"),
        (1000, places / "run" / "user" / "1000" / "wimtui"),
        (1001, places / "tmp" / "wimtui-1001"),
    )


def test_home_folders(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert paths.state_dir() == places / "home" / ".local" / "state" / "wimtui"
    assert paths.config_dir() == places / "home" / ".config" / "wimtui"
    assert paths.cache_dir() == places / "home" / ".cache" / "wimtui"
    monkeypatch.setenv("XDG_CACHE_HOME", str(places / "elsewhere" / "cache"))
    assert paths.cache_dir() == places / "elsewhere" / "cache" / "wimtui"
    assert mode_of(paths.cache_dir()) == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert paths.cache_dir() == places / "home" / ".cache" / "wimtui"


@only_root
def test_root_does_not_write_into_the_home_that_sudo_leaves(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(places / "home", 1000, -1)
    monkeypatch.setattr(paths, "private_folder", lambda folder: folder)
    assert paths.config_dir() == Path(pwd.getpwuid(0).pw_dir, ".config", "wimtui")


@only_root
def test_a_folder_below_one_that_is_closed_to_us_is_not_ours(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.chmod(0o700)
    monkeypatch.setenv("XDG_STATE_HOME", str(places / "home" / "their" / "state"))
    monkeypatch.setattr(paths, "private_folder", lambda folder: folder)
    os.seteuid(65534)
    try:
        found = paths.state_dir()
    finally:
        os.seteuid(0)
    assert not found.is_relative_to(places)
