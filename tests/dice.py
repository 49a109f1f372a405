"""Seeds of tests that throw dice: fresh ones by default, the same ones each time in CI.

A red run in CI then tells of the change, never of the dice; ``make hunt`` throws fresh ones.
"""

from __future__ import annotations

import os
import random
from typing import Final

IS_CI: Final = bool(os.environ.get("CI"))
SEED: Final = "WIMTUI_SEED"
"""Set to have a failing run again."""


def thrown_seed() -> int:
    """Return a seed, and print it for the report of a failure."""
    default = 1 if IS_CI else random.randrange(1 << 32)
    seed = int(os.environ.get(SEED, default))
    print(f"{SEED}={seed}")
    return seed
