"""How an overlay behaves."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Any, Self

from wimtui.engine.image.view import StreamsInterface, ViewOptions


@dataclass(frozen=True, slots=True)
class OverlayOptions:
    """How the merged tree is presented, and what is refused in it."""

    view: ViewOptions = field(default_factory=ViewOptions)
    silent: bool = True
    """Accept and ignore chmod and chown where ``view.unix_data`` is off; else they are refused."""
    windows_names: bool = False
    """Refuse names that Windows forbids."""

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` takes."""
        view = {item.name: getattr(self.view, item.name) for item in fields(ViewOptions)}
        view["mount_root"] = os.fsdecode(self.view.mount_root)
        view["streams"] = self.view.streams.value
        return {"view": view, "silent": self.silent, "windows_names": self.windows_names}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Read what ``to_json`` made."""
        view = dict(stored["view"])
        view["mount_root"] = os.fsencode(view["mount_root"])
        view["streams"] = StreamsInterface(view["streams"])
        return cls(ViewOptions(**view), stored["silent"], stored["windows_names"])
