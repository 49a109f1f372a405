"""A mount over the image that most tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.staging.base_image import Mount, build_wim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wimtui.engine.staging.options import OverlayOptions


@pytest.fixture(scope="session")
def base_wim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wim(tmp_path_factory.mktemp("base") / "base.wim")


@pytest.fixture
def make_mount(
    base_wim: Path, tmp_path: Path
) -> Iterator[Callable[[OverlayOptions | None], Mount]]:
    mounts: list[Mount] = []

    def make(options: OverlayOptions | None = None) -> Mount:
        mounts.append(Mount.create(base_wim, tmp_path, options))
        return mounts[-1]

    yield make
    for mount in mounts:
        mount.close()


@pytest.fixture
def mount(make_mount: Callable[[OverlayOptions | None], Mount]) -> Mount:
    return make_mount(None)
