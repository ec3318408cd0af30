"""Every event of the socket, in both directions."""

from __future__ import annotations

import re
from pathlib import Path

from reference_pages.markdown import code, page, summary, table
from reference_pages.rest import payload_text
from xinyu import gateway
from xinyu.gateway.routes import EVENTS

INTRO = """A socket is opened at `/wss/default.io?token=<token>`, with `platform`, `device_id` and `sync=1` as
further query parameters. Frames are JSON texts `{"event", "payload", "id"?, "ackid"?}`. A client's frame with
an `id` gets exactly one answer: `{"event": "reply", "id", "payload"}` or `{"event": "error", "id", "payload":
{"code", "error", "message", "retry_after_ms"?}}`. Without an `id`, `ping` and
`echo` are answered by an event of their own; other frames get no answer, and what is not understood is ignored. `ping`,
`pong`, `echo` and `ack` are no requests: with an `id` they are answered by an `error`."""

PLAIN: dict[str, str] = {
    "ping": "Heartbeat, about every 20 s; answered by `pong`. Any frame counts as a sign of life, pings of "
    "the WebSocket protocol among them.",
    "pong": "Answer to a `ping` of the server, which sends none; ignored.",
    "ack": 'Top-level `ackid` of a push, or `cursors`: {"<talk_id>": seq} from a `sync=1` session.',
    "echo": "Sent back as it is.",
}
"""Frames of a client that no handler is needed for (`gateway/ws/endpoint.py`, `session.py`)."""

SERVER: dict[str, str] = {
    "connect": "First frame of a session: `uid`, `platform`, `ts`, `session_id`, `device_id`.",
    "pong": "Answer to `ping`: `ts`.",
    "echo": "Answer to `echo`.",
    "event_error": "Why the socket is closed next: `error_code`, `error_message`. 401: the token is bad. 409: another "
    "device connected on a platform that is for one (`presence.platforms`); the close code is 4500, or 1000 for web "
    "clients: do not reconnect by yourself. 429, to `sync=1` alone: the node is full; `retry_after_ms`.",
    "reply": "Answer to a request with `id`.",
    "error": "The request with this `id` failed.",
    "server.drain": "The node is leaving and will close this socket in `delay_ms`.",
    "im.message": "An entry of a log: `to_from_id`, `from_id`, `talk_mode`, `talk_id`, `body` (the message record). A "
    "`sync=1` session gets every entry so, whatever it is.",
    "im.message.revoke": "A message was recalled: `talk_mode`, `to_from_id`, `from_id` (its sender), `msg_id`, "
    "`remark`.",
    "im.message.keyboard": "Somebody is typing: `talk_mode`, `to_from_id`, `from_id`.",
    "im.message.read": "Somebody has read: `talk_mode`, `to_from_id`, `user_id`, `seq`.",
    "im.session.update": "Preview of a conversation: `talk_mode`, `to_from_id`, `sender_id`, `msg_text` (null clears "
    "it), `updated_at`.",
    "im.session.reload": "The conversation list changed; read it again.",
    "im.contact.apply": "Somebody asks to be a contact: `user_id`, `remark`, `nickname`, `avatar`, `apply_time`.",
    "im.contact.accept": "An application was accepted: `acceptor_id`, `acceptor_name`, `acceptor_avatar`, "
    "`accept_time`.",
    "im.group.create": "The reader is in a new group: `group_id`, `operator_id`.",
    "im.group.apply": "Somebody asks to join a group that the reader manages: `group_id`, `user_id`, `remark`, "
    "`nickname`, `avatar`, `apply_time`.",
}
"""What the server sends (`sent_events` is read off the code, and a test compares the two)."""
_NAMES = re.compile(r'"(?:event": ")?((?:im|server)\.[a-z.]+|connect|pong|echo|event_error|reply|error)"')
_SENT_IN = ("present", "ws")


def events_page() -> str:
    """docs/reference/events.md"""
    rows = [(code(name), "anything" if name == "echo" else "", text) for name, text in PLAIN.items()]
    for name, event in EVENTS.items():
        note = " Also without `id`." if event.legacy else ""
        rows.append((code(name), payload_text(event.payload), summary(event.handler) + note))
    return page(
        "Socket events",
        INTRO,
        [
            f"## From the client\n\n{table(('event', 'payload', 'does'), rows)}",
            "## From the server\n\n" + table(("event", "what"), [(code(name), text) for name, text in SERVER.items()]),
        ],
    )


def sent_events() -> set[str]:
    """Names of events that the gateway's source puts into frames."""
    folder = Path(gateway.__file__).parent
    found: set[str] = set()
    for path in (path for name in _SENT_IN for path in (folder / name).rglob("*.py")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if any(mark in line for mark in ("event_frame(", '"event": "', "Frame(")):
                found.update(_NAMES.findall(line))
    return found
