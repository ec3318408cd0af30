"""Structured logs: one vocabulary of fields over the whole server.

Fields: service_name (roles of the process), instance_id (node), trace_id, uid, device_id, msg_id, duration_ms,
error (a code). A line about a failure names what to do or where to look.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from xinyu.telemetry.trace import current_trace_id

NOISY = ("uvicorn.access", "uvicorn.error", "websockets", "alembic", "sqlalchemy.engine", "httpx", "multipart")
"""Libraries whose lines below WARNING are not for us; uvicorn would log a WebSocket's path with its query, and so the
token, at INFO."""
SILENT = ("kazoo",)
"""Libraries that write a line for each attempt; whoever uses them says once what is wrong."""
Logger = structlog.stdlib.BoundLogger


def get_logger(name: str) -> Logger:
    """A logger; it may be made before `configure_logs` has run."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger


def _add_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trace_id = current_trace_id()
    if trace_id:
        event.setdefault("trace_id", trace_id)
    return event


def configure_logs(level: str, style: str, service_name: str, instance_id: str, stream: TextIO | None = None) -> None:
    """Send this process's logs to `stream` (default stderr), as JSON lines or for the eye (`style`: json | console)."""

    def add_process(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service_name"] = service_name
        event["instance_id"] = instance_id
        return event

    renderer: structlog.typing.Processor
    if style == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
        shared: list[structlog.typing.Processor] = [add_process]
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=(stream or sys.stderr).isatty())
        shared = []
    shared += [
        _add_trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
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
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
