"""What a commit of a living mount would write, for front ends that ask before they commit."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import trio

from wimtui.control.protocol import Commit, CommitMode, OkReply, Reply
from wimtui.daemon.commit_request import commit_plan
from wimtui.engine.commit.estimate import estimate
from wimtui.engine.errors import UsageError

if TYPE_CHECKING:
    from wimtui.control.protocol import Data
    from wimtui.daemon.staging import Staging


async def estimate_reply(staging: Staging, data: Data) -> Reply:
    """Answer the request ``estimate``; ``data`` has ``mode``, ``check`` and a commit's options.

    Raises:
        UsageError: Options that no commit has.
        OSError: The folder to be written to cannot be looked at.
    """
    try:
        mode = CommitMode(str(data.get("mode", CommitMode.APPEND)))
    except ValueError:
        raise UsageError(f"{data.get('mode')!r} is no way to commit") from None
    plan = commit_plan(Commit(mode=mode, check=bool(data.get("check")), options=data))
    found = await trio.to_thread.run_sync(
        estimate, staging.image.archive, staging.overlay, plan.options
    )
    return OkReply(data=asdict(found))
