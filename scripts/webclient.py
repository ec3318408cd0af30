"""A raw client modelled on the two web clients (CONTRACT.md 1.0 and 2.1 to 2.4), for tests and drills.

It knows no sync and no sequence: it shows messages in the order in which they arrive, answers each `ackid` and drops
one that it has seen in the last three minutes, and adds one to its own badge for each push of a dialogue that is not
open. So what it shows is right only when the server is.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

Json = dict[str, Any]
Dialogue = tuple[int, int]
"""(talk_mode, the peer's user id or the group id)"""

FIRST_DELAYS = (2, 2.5, 3, 3, 5, 8, 10)
"""Seconds before the attempts to connect, the last for all that follow; AGAIN_DELAYS once it has been connected."""
AGAIN_DELAYS = (1, 1, 3, 5, 10)
MAX_ATTEMPTS = 100
ACKID_SECONDS = 180
ACKID_COUNT = 10_000


class WebError(Exception):
    """The server's error envelope: `code` and `message`, which the page shows as a toast."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Pace:
    """The page's times in seconds; tests scale them down."""

    scale: float = 1.0
    post_timeout: float = 5.0
    post_repeat: float = 0.5
    send_repeat: float = 1.5
    heartbeat: float = 20.0


class AckMemory:
    """The ackids of the last three minutes, at most 10000."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    def is_new(self, ackid: str) -> bool:
        """Whether it was not seen in the last three minutes; it is now."""
        now = self._clock()
        seen = self._seen.pop(ackid, None)
        self._seen[ackid] = now
        if len(self._seen) > ACKID_COUNT:
            self._seen.popitem(last=False)
        return seen is None or now - seen > ACKID_SECONDS


class WebClient:
    """One page of one user. `shown` and `badges` are what the user sees."""

    def __init__(
        self, base_url: str, ws_url: str, token: str, *, pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._base_url = base_url.rstrip("/")
        self._url = f"{ws_url}?token={token}&platform=web"
        self._pace = pace or Pace()
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"}, timeout=self._pace.post_timeout * self._pace.scale
        )
        self._acks = AckMemory(clock)
        self._sent: set[str] = set()
        self._socket: ClientConnection | None = None
        self._run: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self.uid = 0
        self.open_dialogue: Dialogue | None = None
        self.sessions: dict[Dialogue, Json] = {}
        self.badges: dict[Dialogue, int] = defaultdict(int)
        self.shown: dict[Dialogue, list[Json]] = defaultdict(list)
        self.frames: list[Json] = []
        """Every frame that was not dropped, in order of arrival."""
        self.dropped: list[str] = []
        """The ackids that came again."""
        self.errors: list[Json] = []
        self.opens = 0

    # The page.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.leave()

    async def start(self) -> None:
        """As a page that is loaded: who am I, the list with its badges, then the socket."""
        self.uid = (await self.post("user/setting"))["user_info"]["uid"]
        await self.load_sessions()
        self._run = asyncio.create_task(self._keep_connected())

    async def leave(self) -> None:
        """As a page that is closed: without a word to the server beyond the socket's end."""
        tasks = [task for task in (self._run, *self._jobs) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    @property
    def connected(self) -> bool:
        return self._socket is not None

    @property
    def stopped(self) -> bool:
        """Whether it has given up: only close code 1000 or 100 failures make it."""
        return self._run is not None and self._run.done()

    def texts(self, talk_mode: int, to_from_id: int) -> list[str]:
        """What a dialogue shows, as text."""
        return [json.loads(body["extra"]).get("content", "") for body in self.shown[talk_mode, to_from_id]]

    async def load_sessions(self) -> None:
        items = (await self.post("talk/session-list"))["items"]
        self.sessions = {(item["talk_mode"], item["to_from_id"]): item for item in items}
        for dialogue, item in self.sessions.items():
            self.badges[dialogue] = item["unread_num"]

    async def open(self, talk_mode: int, to_from_id: int, limit: int = 30) -> None:
        """Open a dialogue: its newest records replace what it showed, its badge is cleared here and at the server."""
        dialogue = (talk_mode, to_from_id)
        self.open_dialogue = dialogue
        asked = {"talk_mode": talk_mode, "to_from_id": to_from_id}
        records = (await self.post("message/records", {**asked, "cursor": 0, "limit": limit}))["items"]
        self.shown[dialogue] = records[::-1]
        await self.post("talk/session-clear-unread-num", asked)
        self.badges[dialogue] = 0

    async def send_text(self, talk_mode: int, to_from_id: int, text: str, tries: int = 7, msg_id: str = "") -> Json:
        """Send as CIM does: an id of one's own, the same request again after n * 1.5 s on any error, 7 times in all."""
        msg_id = msg_id or uuid.uuid4().hex
        self._sent.add(msg_id)
        body = {"text": text, "content": text}
        request = {"type": "text", "talk_mode": talk_mode, "to_from_id": to_from_id, "msg_id": msg_id, "body": body}
        for attempt in range(1, tries + 1):
            try:
                record = await self.post("message/send", request)
                break
            except (WebError, httpx.TransportError):
                if attempt == tries:
                    raise
                await self._pause(self._pace.send_repeat * attempt)
        self.shown[talk_mode, to_from_id].append(record)
        return record

    async def post(self, path: str, body: Json | None = None) -> Json:
        """POST once, and once more 500 ms later when nobody answered. Raises WebError for anything but 200."""
        url = f"{self._base_url}/api/v1/{path}"
        try:
            response = await self._http.post(url, json=body or {})
        except httpx.TransportError:
            await self._pause(self._pace.post_repeat)
            response = await self._http.post(url, json=body or {})
        if response.status_code != 200:
            refused = response.json()
            raise WebError(refused["code"], refused["message"])
        data: Json = response.json() or {}
        return data

    # The socket.

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._pace.scale)

    async def _keep_connected(self) -> None:
        attempt, delays = 0, FIRST_DELAYS
        while attempt < MAX_ATTEMPTS:
            try:
                self._socket = await connect(self._url, compression=None, ping_interval=None, close_timeout=1)
            except (OSError, TimeoutError, WebSocketException):
                pass
            else:
                attempt, delays = 0, AGAIN_DELAYS
                self.opens += 1
                if await self._listen(self._socket) == 1000:
                    return
            await self._pause(delays[min(attempt, len(delays) - 1)])
            attempt += 1

    async def _listen(self, socket: ClientConnection) -> int | None:
        beat = asyncio.create_task(self._beat(socket))
        try:
            async for text in socket:
                await self._take(socket, json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            self._socket = None
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
            await socket.close()
        return socket.close_code

    async def _beat(self, socket: ClientConnection) -> None:
        while True:
            await self._pause(self._pace.heartbeat)
            await socket.send('{"event":"ping"}')

    async def _take(self, socket: ClientConnection, frame: Json) -> None:
        ackid = frame.get("ackid")
        if ackid:
            await self._answer(socket, json.dumps({"event": "ack", "ackid": ackid}))
            if not self._acks.is_new(ackid):
                self.dropped.append(ackid)
                return
        self.frames.append(frame)
        payload = frame["payload"]
        match frame["event"]:
            case "ping":
                await self._answer(socket, '{"event":"pong","payload":null}')
            case "im.message":
                self._show(payload)
            case "im.message.revoke":
                self._revoke(payload)
            case "im.session.reload":
                self._later(self.load_sessions())
            case "event_error":
                self.errors.append(payload)

    async def _answer(self, socket: ClientConnection, text: str) -> None:
        """Browsers drop what is sent to a closing socket, and still deliver what had come."""
        try:
            await socket.send(text)
        except ConnectionClosed:
            pass

    def _dialogue(self, payload: Json) -> Dialogue:
        """C swaps when `to_from_id` is its own id (CONTRACT.md section 0, row 4)."""
        peer = payload["to_from_id"]
        if payload["talk_mode"] == 1 and peer == self.uid:
            peer = payload["from_id"]
        return payload["talk_mode"], peer

    def _show(self, payload: Json) -> None:
        dialogue, body = self._dialogue(payload), payload["body"]
        json.loads(body["extra"]), json.loads(body["quote"])  # the pages parse both, so they must be JSON in strings
        if body["msg_id"] in self._sent:
            return
        self.shown[dialogue].append(body)
        if body["from_id"] != self.uid and dialogue != self.open_dialogue:
            self.badges[dialogue] += 1
        if dialogue not in self.sessions:
            self.sessions[dialogue] = {}
            self._later(self._create_session(dialogue))

    async def _create_session(self, dialogue: Dialogue) -> None:
        asked = {"talk_mode": dialogue[0], "to_from_id": dialogue[1]}
        self.sessions[dialogue] = await self.post("talk/session-create", asked)

    def _revoke(self, payload: Json) -> None:
        for body in self.shown[self._dialogue(payload)]:
            if body["msg_id"] == payload["msg_id"]:
                body["is_revoked"] = 1

    def _later(self, job: Any) -> None:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
