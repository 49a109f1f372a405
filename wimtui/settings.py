"""What a user sets: ``config.toml`` in the folder for settings."""

from __future__ import annotations

import json
import logging
import os
import tomllib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from wimtui import paths

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

FILE_NAME = "config.toml"
DEFAULT_THEME = "wimtui-dark"
STREAMS = ("xattr", "windows", "none")

_HEADER = "# Settings of wimtui. The app writes this file; edit it while no app runs.\n"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings with their defaults."""

    theme: str = DEFAULT_THEME
    streams: str = "xattr"
    """How mounts show named streams, unless the dialog says otherwise."""
    check: bool = False
    """Whether the dialog proposes to verify the integrity table."""
    ignore_case: bool = False
    allow_other: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys by the id of a binding, such as ``mount = "m,f5"``; the help lists the ids."""

    def changed(self, **values: Any) -> Settings:
        """Return a copy with other values."""
        return replace(self, **values)


def settings_path() -> Path:
    """Return where the file is. Raises OSError."""
    return paths.config_dir() / FILE_NAME


def load() -> Settings:
    """Read the file; what is missing, unknown or of the wrong type leaves the default."""
    try:
        stored = tomllib.loads(settings_path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        log.warning("settings not read: %s", error)
        return Settings()
    return parse(stored)


def parse(stored: Mapping[str, Any]) -> Settings:
    """Return settings from the values of a TOML document."""
    kinds = get_type_hints(Settings, localns={"Mapping": dict})
    values: dict[str, Any] = {}
    for name, kind in kinds.items():
        value = stored.get(name)
        if value is None:
            continue
        if get_args(kind) and isinstance(value, dict):
            values[name] = {str(key): str(keys) for key, keys in value.items()}
        elif type(value) is kind:
            values[name] = value
        else:
            log.warning("setting %s ignored: %r", name, value)
    if values.get("streams", "xattr") not in STREAMS:
        del values["streams"]
    return Settings(**values)


def save(settings: Settings) -> None:
    """Write the file in one step. Raises OSError."""
    target = settings_path()
    fresh = target.with_name(f"{FILE_NAME}.{os.getpid()}.new")
    fresh.write_text(dump(settings), encoding="utf-8")
    fresh.replace(target)


def dump(settings: Settings) -> str:
    """Return settings as a TOML document."""
    # JSON's strings and booleans are TOML's as well.
    lines = [
        f"{name} = {json.dumps(getattr(settings, name))}"
        for name in ("theme", "streams", "check", "ignore_case", "allow_other")
    ]
    if settings.keys:
        lines += ["", "[keys]"]
        lines += [f"{json.dumps(name)} = {json.dumps(k)}" for name, k in settings.keys.items()]
    return _HEADER + "\n".join(lines) + "\n"
