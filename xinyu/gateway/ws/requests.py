"""Client frames that ask for something: found in the events' tables, run, answered once (CONTRACT.md section 2.6)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from xinyu.gateway.http.errors import STATUS_OF, ErrorTexts
from xinyu.gateway.present.message import MessageRecord
from xinyu.gateway.services import GatewayServices
from xinyu.gateway.ws.deliverer import SocketDeliverer
from xinyu.gateway.ws.events.event import Event, EventCall
from xinyu.gateway.ws.frames import ClientFrame, error_frame, reply_frame
from xinyu.gateway.ws.hub import Connection
from xinyu.gateway.ws.session import Session
from xinyu.kernel.errors import Category, DeadlineExceeded, InvalidInput, Overloaded, XinyuError
from xinyu.rpc.deadline import adopt_deadline
from xinyu.telemetry.logs import get_logger, hops, tell_request
from xinyu.telemetry.readings import SECONDS, Histogram, Reading
from xinyu.telemetry.trace import begin_trace

log = get_logger(__name__)
RETRY_MS = 200
SEND_EVENT = "message.send"
SWEEP_SECONDS = 0.5
"""How late the end of an overdue request may be noticed."""


class UnknownEvent(XinyuError):
    """There is no such event."""

    category = Category.NOT_FOUND
    code = "request.no_event"


class Requests:
    """Runs requests of all sessions, each in a task of its own, so that replies come in any order."""

    def __init__(
        self,
        events: Mapping[str, Event],
        services: GatewayServices,
        texts: ErrorTexts,
        deliverer: SocketDeliverer,
        max_in_flight: int,
        timeout_seconds: float,
    ) -> None:
        self._events = events
        self._services = services
        self._texts = texts
        self._deliverer = deliverer
        self._max_in_flight = max_in_flight
        self._timeout = timeout_seconds
        self._running: dict[asyncio.Task[None], float] = {}
        self._overdue: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._seconds = Histogram(SECONDS)
        self._failed = 0
        self._refused = 0

    def begin(self, connection: Connection, frame: ClientFrame) -> None:
        """Take a frame that is no ping and no ack. Without an id, only legacy events mean anything."""
        event = self._events.get(frame.event)
        if frame.id is None:
            if event is None or not event.legacy:
                return
        elif event is None:
            self._refuse(connection, frame.id, UnknownEvent())
            return
        session = connection.session
        try:
            if session.in_flight >= self._max_in_flight:
                raise Overloaded(retry_after_ms=RETRY_MS)
            self._services.admission.enter()
        except Overloaded as error:
            self._refused += 1
            self._refuse(connection, frame.id, error)
            return
        session.in_flight += 1
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._answer(connection, frame, event))
        self._running[task] = loop.time() + self._timeout
        task.add_done_callback(self._forget)
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP_SECONDS, self._end_overdue)

    async def drained(self) -> None:
        """Return when nothing runs."""
        while self._running:
            await asyncio.sleep(0.01)

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_ws_request_seconds", "Requests on the socket, from the frame to the answer.", self._seconds),
            ("xinyu_ws_request_failures_total", "Requests on the socket that failed.", self._failed),
            ("xinyu_ws_requests_refused_total", "Requests on the socket refused: too many ran.", self._refused),
            ("xinyu_ws_requests_in_flight", "Requests on the socket without an answer yet.", len(self._running)),
        ]

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._services.admission.leave()
        self._running.pop(task, None)
        self._overdue.discard(task)

    def _end_overdue(self) -> None:
        """One timer for all requests: a timer of its own would cost each more than the rest of its way in."""
        loop = asyncio.get_running_loop()
        for task, ends_at in self._running.items():
            if ends_at <= loop.time():
                self._overdue.add(task)
                task.cancel()
        self._sweep = loop.call_later(SWEEP_SECONDS, self._end_overdue) if self._running else None

    async def _answer(self, connection: Connection, frame: ClientFrame, event: Event) -> None:
        session, begin, failure = connection.session, time.monotonic(), None
        begin_trace(frame.trace_id)
        adopt_deadline(begin + self._timeout)
        try:
            if not event.counts_as_send:
                await self._services.limits.check_socket_request(session.user_id)
            call: EventCall[Any] = EventCall(
                payload=_payload(frame, event.payload),
                caller=session.caller,
                session_id=session.session_id,
                device_id=session.device_id,
                services=self._services,
            )
            result = await event.handler(call)
            if frame.id is not None and connection.put(reply_frame(frame.id, result)):
                self._note(connection, frame, result)
        except XinyuError as error:
            if error.category is Category.INTERNAL:
                log.exception("a request failed; the stack below says where", event_name=frame.event)
            failure = error
        except asyncio.CancelledError:
            if asyncio.current_task() not in self._overdue:
                raise
            failure = DeadlineExceeded()
        except Exception:
            log.exception("a request failed; the stack below says where", event_name=frame.event)
            failure = XinyuError()
        finally:
            session.in_flight -= 1
        if failure is not None:
            self._failed += 1
            self._refuse(connection, frame.id, failure)
        self._tell(session, frame, failure, time.monotonic() - begin)

    def _tell(self, session: Session, frame: ClientFrame, failure: XinyuError | None, seconds: float) -> None:
        self._seconds.observe(seconds)
        if hops.told or seconds >= hops.slow_seconds:
            error = None if failure is None else failure.code
            uid, device_id = session.user_id, session.device_id
            tell_request(log, seconds, event_name=frame.event, uid=uid, device_id=device_id, error=error)

    def _note(self, connection: Connection, frame: ClientFrame, result: object) -> None:
        """The reply to a send is this session's copy of the entry."""
        if frame.event == SEND_EVENT and isinstance(result, MessageRecord) and result.sequence:
            self._deliverer.replied(connection, result.talk_id, result.sequence)

    def _refuse(self, connection: Connection, request_id: str | int | None, error: XinyuError) -> None:
        if request_id is not None:
            connection.put(error_frame(request_id, STATUS_OF[error.category], error, self._texts.text_of(error)))


def _payload(frame: ClientFrame, wanted: type[msgspec.Struct]) -> msgspec.Struct:
    """The payload as the event's type; `null` is an empty one, numeric strings are numbers."""
    raw = bytes(frame.payload)
    try:
        return msgspec.json.decode(b"{}" if raw == b"null" else raw, type=wanted, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(str(error)) from error
