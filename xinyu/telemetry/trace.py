"""The trace id of the work in progress: 32 lower-case hex characters (CONTRACT.md section 5.6).

It comes in with a request (`X-Trace-ID`, a frame's `trace_id`) or is made at the gateway, and travels with every call.
"""

from __future__ import annotations

import random
from collections.abc import Set
from contextvars import ContextVar

_TRACE: ContextVar[str] = ContextVar("xinyu_trace_id", default="")
_ACCEPTED = frozenset("0123456789abcdefABCDEF-")


def current_trace_id() -> str:
    """The trace id of the running task, "" outside of any request."""
    return _TRACE.get()


def begin_trace(offered: str | None = None) -> str:
    """Adopt the caller's trace id when it is a plausible one (at most 64 hex digits or dashes), else make one."""
    if offered and len(offered) <= 64 and _ACCEPTED.issuperset(offered):
        trace_id = offered
    else:
        trace_id = f"{random.getrandbits(128):032x}"  # no secret, and made for every frame
    _TRACE.set(trace_id)
    return trace_id


def adopt_trace(trace_id: str) -> None:
    """Work for the caller whose trace id this is, "" for none; what is not plainly an id is dropped, never replaced."""
    plain = len(trace_id) <= 64 and trace_id.isascii() and trace_id.replace("-", "").isalnum()
    _TRACE.set(trace_id if plain else "")


def adopt_shared_trace(trace_ids: Set[str]) -> None:
    """Work for all these callers at once: with their trace id where they have one and the same. It was looked at when
    it came in; this is done for every batch of pushes, three times on its way."""
    _TRACE.set(next(iter(trace_ids)) if len(trace_ids) == 1 else "")
