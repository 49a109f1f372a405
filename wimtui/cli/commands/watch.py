"""`wimtui watch`: what a mount's daemon tells of, line by line."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from wimtui.cli import output
from wimtui.cli.diagnostics import shown
from wimtui.control.errors import DaemonGoneError
from wimtui.control.protocol import EndedEvent, Event, LogEvent, ProgressEvent, StateEvent
from wimtui.service.commits import watch

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Namespace) -> int:
    """Print events until the daemon ends, or until Ctrl-C."""
    try:
        for event in watch(arguments.directory):
            if arguments.json:
                output.json_line({"type": event.TYPE, **asdict(event)})
            else:
                output.line(f"{time.strftime('%H:%M:%S')}  {shown(_described(event))}")
            sys.stdout.flush()
    except DaemonGoneError:
        return 0
    return 0


def _described(event: Event) -> str:
    match event:
        case StateEvent(state=state, changes=changes):
            return f"state {state.value}" + (f", {changes:,} changes" if changes else "")
        case ProgressEvent():
            share = event.bytes_done / event.bytes_total if event.bytes_total else 0.0
            return f"{event.operation} {event.phase} {share:4.0%} {event.path}".rstrip()
        case EndedEvent():
            return f"{event.operation} {event.outcome.value} {event.text}".rstrip()
        case LogEvent():
            return f"{event.level} {event.text}"
    return event.TYPE
