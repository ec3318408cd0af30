"""Structured logs: one vocabulary of fields over the whole server.

`FIELDS` is the vocabulary: a line uses no other words (docs/reference/logs.md). A line about a failure names what to do
or where to look. The hops of a request are told at `debug` only; where that is off they cost a look at `hops.told`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

from xinyu.telemetry.trace import current_trace_id

NOISY = (
    "uvicorn.access",
    "uvicorn.error",
    "websockets",
    "alembic",
    "sqlalchemy.engine",
    "httpx",
    "httpcore",
    "multipart",
)
"""Libraries whose lines below WARNING are not for us; uvicorn would log a WebSocket's path with its query, and so the
token, at INFO."""
SILENT = ("kazoo",)
"""Libraries that write a line for each attempt; whoever uses them says once what is wrong."""
FIELDS: dict[str, str] = {
    "event": "What happened, the same words each time.",
    "level": "debug: each hop of a request; info: what goes as it should; warning: the server helps itself, or waits; "
    "error: somebody has to look.",
    "timestamp": "When, ISO 8601 in UTC.",
    "logger": "The module.",
    "service_name": "Roles of the process (`xinyu` for all).",
    "instance_id": "Its node name.",
    "trace_id": "The request behind it, the one in the `X-Trace-ID` of its answer. None where there is no one request.",
    "uid": "The user who asked, or whom it is about.",
    "device_id": "The device who asked.",
    "msg_id": "The message.",
    "conversation_id": "The conversation, `talk_id` to clients.",
    "seq": "The entry's number in its conversation.",
    "duration_ms": "How long it took.",
    "error": "The code of an error (errors.md).",
    "reason": "An error in words, for people.",
    "exception": "The stack of an error that nobody foresaw.",
    "count": "How many things the line is about.",
    "node": "The other process: the caller of a call, the target of a delivery.",
    "address": "The other side of a connection, or of one that cannot be had.",
    "method": "A port's method (ports.md).",
    "command": "A number on the wire that stands for one.",
    "result": "What a call was answered with, 200 when it went well.",
    "route": "A REST route.",
    "status": "What a REST request was answered with.",
    "event_name": "An event of the socket that a client sent.",
    "sessions": "Sockets that a push was put on, or is meant for.",
    "nodes": "Processes that hold sockets of a push's recipients.",
    "attempts": "How often it was tried.",
    "run": "A background run of the process.",
    "step": "A step of the stop.",
    "roles": "Roles of the process that is ready.",
    "http": "Where it serves REST.",
    "ws": "Where it serves WebSockets.",
    "admin": "Where it serves probes and metrics.",
    "rpc": "Where it serves other processes.",
    "predecessor": "Where it serves the predecessor's processes.",
    "state": "What a process shows of itself to others.",
    "path": "A node in ZooKeeper.",
    "variable": "An environment variable.",
    "domain": "Whose effect it is.",
    "effect_id": "The effect.",
    "upload_id": "The upload.",
    "target": "Whom a verification code is for.",
    "code": "The verification code itself: with `embedded`, where no carrier for it is set.",
    "channel": "What the code is for.",
    "lifetime_seconds": "How long it is good.",
}
"""Every field of a line. `error` is always a code; what an exception says is a `reason`."""
NEVER_SLOW = float("inf")
Logger = structlog.stdlib.BoundLogger


def get_logger(name: str) -> Logger:
    """A logger; it may be made before `configure_logs` has run."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger


class Hops:
    """Whether each hop of a request is told, decided when logs are configured."""

    __slots__ = ("slow_seconds", "told")

    def __init__(self) -> None:
        self.told = False
        self.slow_seconds = NEVER_SLOW
        """What takes so long is told in any case."""


hops = Hops()
"""This process's."""


def tell_request(log: Logger, seconds: float, **fields: Any) -> None:
    """The end of a client's request: a line of its own when it was slow, else one of its hops."""
    if seconds >= hops.slow_seconds:
        log.warning("a slow request; its hops are told at log.level debug", duration_ms=in_ms(seconds), **fields)
    elif hops.told:
        log.debug("request done", duration_ms=in_ms(seconds), **fields)


def in_ms(seconds: float) -> float:
    """A duration as lines show it."""
    return round(seconds * 1000, 3)


def add_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: the running task's trace id, where the line names no other."""
    trace_id = current_trace_id()
    if trace_id:
        event.setdefault("trace_id", trace_id)
    return event


@contextmanager
def diverted(take: Callable[[dict[str, Any]], None] | None) -> Iterator[None]:
    """Have `take` get this process's lines, undressed, or nobody: for who plays through what goes wrong on purpose. For
    loggers that have written nothing since `configure_logs`."""

    def hand_over(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if take is not None:
            take(dict(event))
        raise structlog.DropEvent

    before, disabled = structlog.get_config(), logging.root.manager.disable
    level = logging.CRITICAL if take is None else logging.INFO
    structlog.configure(
        processors=[hand_over],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        structlog.configure(**before)
        logging.disable(disabled)


def _drop_absent(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A field that a line has nothing for is not there."""
    for name in [name for name, value in event.items() if value is None]:
        del event[name]
    return event


def _processors(
    style: str, service_name: str, instance_id: str, colours: bool
) -> tuple[list[structlog.typing.Processor], structlog.typing.Processor]:
    """What every line passes, and what writes it at last."""

    def add_process(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service_name"] = service_name
        event["instance_id"] = instance_id
        return event

    shared: list[structlog.typing.Processor] = [
        add_trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if style == "json":
        return [add_process, *shared], structlog.processors.JSONRenderer(ensure_ascii=False)
    return shared, structlog.dev.ConsoleRenderer(colors=colours)


def configure_logs(
    level: str,
    style: str,
    service_name: str,
    instance_id: str,
    stream: TextIO | None = None,
    slow_request_ms: int = 0,
) -> None:
    """Send this process's logs to `stream` (default stderr), as JSON lines or for the eye (`style`: json | console).
    Requests that take `slow_request_ms` are told (0: none are)."""
    hops.told = level == "debug"
    hops.slow_seconds = slow_request_ms / 1000 if slow_request_ms else NEVER_SLOW

    shared, renderer = _processors(style, service_name, instance_id, (stream or sys.stderr).isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
        foreign_pre_chain=shared,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            _drop_absent,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
