"""Seeing that a process was told to stop."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from wimtui.engine.errors import CancelledError
from wimtui.engine.fuse import callers
from wimtui.engine.fuse.callers import CallerToken, wants_to_stop


def test_a_thread_without_waiting_signals_goes_on() -> None:
    assert not wants_to_stop(threading.get_native_id())
    assert not wants_to_stop(2**22 + 1)


def test_a_signal_that_is_blocked_does_not_count() -> None:
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        assert not wants_to_stop(threading.get_native_id())
        assert signal.sigtimedwait({signal.SIGTERM}, 10) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


@pytest.mark.parametrize("waiting", ["SigPnd", "ShdPnd"])
def test_a_waiting_signal_cancels(monkeypatch: pytest.MonkeyPatch, waiting: str) -> None:
    sets = {"SigPnd": 0, "ShdPnd": 0, "SigBlk": 0, "SigIgn": 0, waiting: 1 << 8}
    text = "".join(f"{name}:\t{value:016x}\n" for name, value in sets.items())
    monkeypatch.setattr(Path, "read_text", lambda *_: "Name:\tcp\n" + text)
    monkeypatch.setattr(callers, "_LOOK_INTERVAL_S", 0.0)
    token = CallerToken(1)

    with pytest.raises(CancelledError):
        token.check()
    assert token.cancelled


def test_nobody_is_never_asked() -> None:
    token = CallerToken(0)
    token.check()
    token.cancel()
    with pytest.raises(CancelledError):
        token.check()
