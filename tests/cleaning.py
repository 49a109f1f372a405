"""`wimtui cleanup` in a test: it clears all dead mounts there are, and others run tests as well."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

from wimtui.cli.commands import cleanup
from wimtui.cli.parser import build_parser
from wimtui.control import registry
from wimtui.control.registry import MountStatus

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from wimtui.control.registry import MountRecord


def clean_up(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> Any:
    """Run the command on the mounts of this test's own registry; return what it prints as JSON."""
    list_all = registry.list_mounts

    def list_own(**options: Any) -> tuple[MountRecord, ...]:
        found = list_all(**options)
        return tuple(record for record in found if record.status is not MountStatus.UNKNOWN)

    parsed = build_parser().parse_args(["cleanup", *map(str, arguments), "--json"])
    with monkeypatch.context() as patched, contextlib.redirect_stdout(io.StringIO()) as said:
        patched.setattr(registry, "list_mounts", list_own)
        assert cleanup.run(parsed) == 0
    return json.loads(said.getvalue())
