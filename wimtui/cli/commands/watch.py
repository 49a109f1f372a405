"""`wimtui watch`: what a mount's daemon tells of, line by line."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import humanize

from wimtui.cli import output
from wimtui.cli.diagnostics import shown
from wimtui.cli.progress import label
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
            return _progress(event)
        case EndedEvent():
            text = f": {event.text}" if event.text else ""
            return f"{event.operation} {event.outcome.value}{text}"
        case LogEvent():
            return f"{event.level} {event.text}"
    return event.TYPE


def _progress(event: ProgressEvent) -> str:
    parts = [f"{event.operation} {label(event.phase)}"]
    if event.bytes_total:
        done, total, rate = map(_size, (event.bytes_done, event.bytes_total, event.bytes_per_s))
        parts.append(f"{event.bytes_done / event.bytes_total:.0%}, {done} of {total}, {rate}/s")
    if event.items_total:
        parts.append(f"{event.items_done:,} of {event.items_total:,}")
    return ", ".join([*parts, event.path] if event.path else parts)


def _size(nbytes: int) -> str:
    return humanize.naturalsize(nbytes, binary=True)
