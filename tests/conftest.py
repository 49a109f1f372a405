"""Guards every test relies on."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.dice import IS_CI

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_FUSE = "WIMTUI_REQUIRE_FUSE"
"""Set to 1 where tests must mount: what would be skipped fails instead."""


STALE_KERNELS = "WIMTUI_STALE_KERNELS"

# Nothing depends on how fast the machine is. A failure is told as one error, whose message holds
# the failing example and how to have it again; so it is in the summary of a run too. Making the
# example smaller may take minutes, more than a CI machine has for all tests. There the examples are
# the same each time, as in Hypothesis' own profile for CI.
settings.register_profile(
    "wimtui",
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
    print_blob=True,
    derandomize=IS_CI,
    report_multiple_bugs=False,
    phases=[
        phase
        for phase in Phase
        if phase is not Phase.explain and (phase is not Phase.shrink or not IS_CI)
    ],
)
settings.load_profile("wimtui")

CIMPORT = re.compile(r"^\s*from\s+(wimtui[\w.]+)\s+cimport\s", re.MULTILINE)


def why_no_fuse() -> str | None:
    """Say what is missing for a real mount, or None."""
    if not Path("/dev/fuse").exists():
        return "/dev/fuse is missing"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is missing"
    return None


def why_no_oracle() -> str | None:
    """Say what is missing for a comparison with wimlib, or None."""
    return None if shutil.which("wimlib-imagex") else "wimlib-imagex is not installed"


def _headers(source: Path) -> set[Path]:
    """List the .pxd files of this package that a kernel includes, directly or not."""
    found = {source.with_suffix(".pxd")}
    unread = [source, *found]
    while unread:
        path = unread.pop()
        if not path.exists():
            continue
        for module in CIMPORT.findall(path.read_text(encoding="utf-8")):
            header = ROOT.joinpath(*module.split(".")).with_suffix(".pxd")
            if header not in found:
                found.add(header)
                unread.append(header)
    return {header for header in found if header.exists()}


def stale_kernels() -> list[str]:
    """List kernels whose source is newer than what is compiled."""
    stale = []
    for source in sorted((ROOT / "wimtui").rglob("*.pyx")):
        newest = max(path.stat().st_mtime for path in (source, *_headers(source)))
        built = [path.stat().st_mtime for path in source.parent.glob(f"{source.stem}.*.so")]
        if not built or max(built) < newest:
            stale.append(str(source.relative_to(ROOT)))
    return stale


def pytest_sessionstart(session: pytest.Session) -> None:
    if os.environ.get(STALE_KERNELS) == "ignore":
        return
    if stale := stale_kernels():
        pytest.exit(
            f"kernels not built or out of date: {', '.join(stale)}; run `make build`"
            f" (or set {STALE_KERNELS}=ignore while one is being edited)",
            3,
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_fuse = why_no_fuse()
    if no_fuse is not None and os.environ.get(REQUIRE_FUSE) == "1":
        no_fuse = None
    for marker, reason in (("fuse", no_fuse), ("oracle", why_no_oracle())):
        if reason is None:
            continue
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if os.environ.get(REQUIRE_FUSE) == "1" and item.get_closest_marker("fuse"):
        reason = why_no_fuse()
        if reason is not None:
            pytest.fail(f"{REQUIRE_FUSE}=1 and {reason}", pytrace=False)
