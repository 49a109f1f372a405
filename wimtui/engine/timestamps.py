"""FILETIME (100 ns ticks since 1601-01-01 UTC) and nanoseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH_OFFSET_TICKS = 116_444_736_000_000_000
"""Ticks from 1601-01-01 to 1970-01-01."""

MAX_TICKS = 2**63 - 1
"""The largest time that Windows accepts."""


def ticks_to_ns(ticks: int) -> int:
    """Return nanoseconds since 1970, negative before it; ticks over MAX_TICKS are clamped."""
    return (min(ticks, MAX_TICKS) - EPOCH_OFFSET_TICKS) * 100


def ns_to_ticks(time_ns: int) -> int:
    """Return ticks, rounded down to 100 ns; times outside 1601..30828 are clamped."""
    return min(max(time_ns // 100 + EPOCH_OFFSET_TICKS, 0), MAX_TICKS)


def ticks_to_datetime(ticks: int) -> datetime:
    """Return the time in UTC to the microsecond; what datetime cannot hold becomes its maximum."""
    try:
        return datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
