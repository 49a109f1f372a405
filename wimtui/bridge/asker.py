"""Calls in threads of their own; the answers, and what goes wrong, become messages."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from wimtui import messages
from wimtui.control.errors import ControlError
from wimtui.engine.errors import WimError
from wimtui.outcomes import cause_of, sentence_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message
    from textual.message_pump import MessagePump

log = logging.getLogger(__name__)


class Asker:
    """Runs blocking calls and posts what they return."""

    def __init__(self) -> None:
        self._is_stopped = False
        self._busy: set[str] = set()
        self._again: dict[str, Callable[[], None]] = {}
        self._pending = 0
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Let answers go nowhere from here on."""
        self._is_stopped = True

    @property
    def is_idle(self) -> bool:
        """Whether every question has been answered."""
        with self._lock:
            return self._pending == 0

    def ask(
        self,
        target: MessagePump,
        doing: str,
        work: Callable[[], Message | None],
        *,
        key: str = "",
        once_more: bool = False,
        subject: str = "",
        unwanted: Callable[[Message], None] | None = None,
    ) -> None:
        """Call ``work`` in a thread and post what it returns.

        Daemon threads: a daemon that does not answer must not keep the app from ending.

        Args:
            target: Who gets the answer.
            doing: For a failure's text.
            work: The call.
            key: Where not empty, nothing is done while a call of the same key runs.
            once_more: Then do it afterwards, as what runs may have looked too early.
            subject: For a failure's message.
            unwanted: Called with an answer that nobody is there to take.
        """
        with self._lock:
            if key and key in self._busy:
                if once_more:
                    self._again[key] = lambda: self.ask(
                        target, doing, work,
                        key=key, once_more=True, subject=subject, unwanted=unwanted,
                    )  # fmt: skip
                return
            self._busy.add(key)
            self._pending += 1

        def run() -> None:
            answer = self._answer(doing, work, subject)
            with self._lock:
                self._busy.discard(key)
            if answer is not None and not self.post(target, answer) and unwanted is not None:
                unwanted(answer)
            with self._lock:
                again = self._again.pop(key, None)
            if again is not None:
                again()
            with self._lock:
                self._pending -= 1

        threading.Thread(target=run, name=doing, daemon=True).start()

    def _answer(
        self, doing: str, work: Callable[[], Message | None], subject: str
    ) -> Message | None:
        try:
            return work()
        except (WimError, ControlError) as error:
            log.warning("cannot %s: %s", doing, error)
            return messages.OperationFailed(
                doing, cause_of(error), error.hint or "", error.code, subject
            )
        except OSError as error:
            log.warning("cannot %s: %s", doing, error)
            return messages.OperationFailed(doing, sentence_of(error), "", 100, subject)
        except Exception:
            log.exception("cannot %s", doing)
            return messages.OperationFailed(
                doing, "an unexpected error", "the log has the details", 100, subject
            )

    def post(self, target: MessagePump, message: Message) -> bool:
        """Post from any thread; return whether somebody takes it."""
        if self._is_stopped:
            return False
        try:
            return target.post_message(message)
        except RuntimeError:
            # The loop was closed this very moment.
            return False
