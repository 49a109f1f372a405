"""Questions of the same kind, asked while one of them runs."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, cast

import pytest
from textual.message import Message

from wimtui.bridge.asker import Asker

if TYPE_CHECKING:
    from textual.message_pump import MessagePump


class Target:
    """Takes answers."""

    def __init__(self) -> None:
        self.answers: list[Message] = []

    def post_message(self, message: Message) -> bool:
        self.answers.append(message)
        return True


@pytest.mark.parametrize(("once_more", "count"), [(False, 1), (True, 2)])
def test_what_was_asked_meanwhile(once_more: bool, count: int) -> None:
    asker, target, go = Asker(), Target(), threading.Event()

    def work() -> Message:
        go.wait(30)
        return Message()

    for _ in range(3):
        asker.ask(cast("MessagePump", target), "try", work, key="same", once_more=once_more)
    go.set()
    end = time.monotonic() + 30
    while not asker.is_idle:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert len(target.answers) == count
