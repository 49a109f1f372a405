"""What turns a method into a handler that pyfuse3 can call: counted, and safe to raise in."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from pyfuse3 import FUSEError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from wimtui.engine.fuse.activity import Activity
    from wimtui.engine.fuse.failures import Failures


class Host(Protocol):
    """What a class must have for its methods to be handlers."""

    activity: Activity
    failures: Failures


H = TypeVar("H", bound=Host)
P = ParamSpec("P")
R = TypeVar("R")


def inline(
    method: Callable[Concatenate[H, P], R],
) -> Callable[Concatenate[H, P], Coroutine[Any, Any, R]]:
    """Make a handler of a plain method, which therefore cannot hold a checkpoint.

    For all that answers from memory: a checkpoint costs 5 to 10 us, a thread 20 and more, the
    whole request 12. Exceptions become FUSEErrors as ``Failures`` decides.
    """
    name = method.__name__

    @wraps(method)
    async def handler(self: H, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.activity.requests[name] += 1
        try:
            return method(self, *args, **kwargs)
        except FUSEError:
            raise
        except Exception as error:
            raise self.failures.translate(name, error) from None

    return handler


def guarded(
    method: Callable[Concatenate[H, P], Awaitable[R]],
) -> Callable[Concatenate[H, P], Coroutine[Any, Any, R]]:
    """Make a handler of an async method: one that may hand work to a thread."""
    name = method.__name__

    @wraps(method)
    async def handler(self: H, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.activity.requests[name] += 1
        try:
            return await method(self, *args, **kwargs)
        except FUSEError:
            raise
        except Exception as error:
            raise self.failures.translate(name, error) from None

    return handler
