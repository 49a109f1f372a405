"""Log files: one line a record, limited in size, shared by processes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

from wimtui import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = tuple(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)
    yield
    for handler in tuple(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


def test_every_record_is_one_line() -> None:
    path = logs.set_up_daemon("0123", foreground=False)
    assert path is not None
    log = logging.getLogger("wimtui.test")
    log.info("two\nlines of %s", "text\r\n")
    log.debug("not this")
    try:
        raise ValueError("with\na trace")
    except ValueError:
        log.exception("failed")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("INFO wimtui.test: two\\nlines of text\\r\\n")
    assert "ValueError: with\\na trace" in lines[1]
    assert path.name == "mount-0123.log"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_names_that_are_no_unicode(capsys: pytest.CaptureFixture[str]) -> None:
    path = logs.set_up_app()
    assert path is not None
    logging.getLogger("wimtui").info("%s", "a\udcff")
    assert "a\\udcff" in path.read_text(encoding="utf-8")
    assert capsys.readouterr().err == ""


def test_who_writes_where(capsys: pytest.CaptureFixture[str]) -> None:
    path = logs.set_up_cli()
    assert path is not None
    logging.getLogger("wimtui").info("quiet")
    logging.getLogger("wimtui").warning("loud")
    assert capsys.readouterr().err == "wimtui: WARNING: loud\n"
    assert "quiet" in path.read_text(encoding="utf-8")
    logs.set_up_app()
    logging.getLogger("wimtui").error("not on the screen")
    assert capsys.readouterr().err == ""


def test_the_level_can_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "own.log"
    assert logs.set_up_daemon("0123", log_file=path, foreground=False) == path
    logging.getLogger("wimtui").debug("before")
    logs.set_file_level("DEBUG")
    logging.getLogger("wimtui").debug("after")
    assert path.read_text(encoding="utf-8").count("\n") == 1
    with pytest.raises(ValueError, match="SIDEWAYS"):
        logs.set_file_level("SIDEWAYS")


def test_without_a_file_it_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nowhere" / "own.log"
    assert logs.set_up_daemon("0123", log_file=path, foreground=True) is None
    assert "no log file" in capsys.readouterr().err
    assert logs.set_up_daemon("0123", log_file=path, foreground=False) is None
    logging.getLogger("wimtui").error("unheard")
    assert capsys.readouterr().err == ""


def test_full_files_are_rotated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_FILE_NBYTES", 2000)
    path = tmp_path / "shared.log"
    handlers = [logs.SharedFileHandler(path) for _ in range(3)]

    def write(handler: logging.Handler) -> None:
        for number in range(40):
            handler.handle(logging.makeLogRecord({"msg": f"{number:099d}"}))

    threads = [threading.Thread(target=write, args=[handler]) for handler in handlers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for handler in handlers:
        handler.close()
    sizes = [one.stat().st_size for one in tmp_path.glob("shared.log*") if one.suffix != ".lock"]
    assert len(sizes) == logs.KEPT_FILES + 1
    assert max(sizes) <= 2000
    # Rotated too often, the files would be nearly empty.
    assert sum(sizes) > logs.KEPT_FILES * 1000


def test_logs_of_old_mounts_go() -> None:
    for number in range(logs._KEPT_MOUNT_LOGS + 5):
        logs.set_up_daemon(f"{number:04d}", foreground=False)
    path = logs.set_up_daemon("ffff", foreground=False)
    assert path is not None
    assert len(list(path.parent.glob("mount-*.log"))) == logs._KEPT_MOUNT_LOGS
    assert path.exists()
