"""The trace id of the work in progress: 32 lower-case hex characters (CONTRACT.md section 5.6).

It comes in with a request (`X-Trace-ID`, a frame's `trace_id`) or is made at the gateway, and travels with every call.
"""

from __future__ import annotations

from contextvars import ContextVar

from xinyu.kernel.ids import new_hex_id

_TRACE: ContextVar[str] = ContextVar("xinyu_trace_id", default="")
_ACCEPTED = frozenset("0123456789abcdefABCDEF-")


def current_trace_id() -> str:
    """The trace id of the running task, "" outside of any request."""
    return _TRACE.get()


def begin_trace(offered: str | None = None) -> str:
    """Adopt the caller's trace id when it is a plausible one (at most 64 hex digits or dashes), else make one."""
    trace_id = offered if offered and len(offered) <= 64 and _ACCEPTED.issuperset(offered) else new_hex_id()
    _TRACE.set(trace_id)
    return trace_id
