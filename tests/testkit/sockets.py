"""A whole process inside the test, and sockets of its gateway: in memory through ASGI, or real ones on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from testkit.waiting import eventually
from xinyu.app.settings import Settings
from xinyu.app.supervisor import Process, run_process
from xinyu.gateway.ports import Ports
from xinyu.gateway.predecessor.settings import PredecessorSettings
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import ConversationId, GroupId, LoginId, MsgId, UserId, new_msg_id
from xinyu.message.port import EffectPort
from xinyu.message.types import (
    Effect,
    EffectEvent,
    EntryType,
    Kind,
    MemberChange,
    NewMessage,
    Ref,
    SelfNotice,
    SendResult,
    group_ref,
    private_parties,
    private_ref,
)
from xinyu.presence.settings import PresenceSettings
from xinyu.user.settings import UserSettings
from xinyu.user.types import LoginOrigin

Json = dict[str, Any]
PASSWORD = "correct horse 7"
QUICK_PASSWORDS = UserSettings(argon2_time_cost=1, argon2_memory_kib=8, accept_plain_passwords=True)


class MemorySocket:
    """A client of the ASGI endpoint without a network: what it sends and gets are ASGI messages."""

    def __init__(self, process: Process, path: str, query: str, ip: str = "") -> None:
        self.frames: list[Json] = []
        """Everything received, decoded."""
        self.close_code: int | None = None
        self.reason = ""
        self.acks = False
        """Whether it acknowledges each push, as the pages do."""
        self.reads = asyncio.Event()
        """Cleared, the client does not read any more."""
        self.reads.set()
        self.scope: Json = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": query.encode("latin-1"),
            "headers": [(b"cookie", b"token")], "extensions": {}, "client": (ip, 1) if ip else None,
        }  # fmt: skip
        self._incoming: asyncio.Queue[Json] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        self._gone = False
        self.task = asyncio.ensure_future(process.container.ws_endpoint()(self.scope, self._incoming.get, self._take))

    async def _take(self, message: MutableMapping[str, Any]) -> None:
        await self.reads.wait()
        if self._gone:
            raise OSError("the client has left")
        if message["type"] == "websocket.send":
            frame = json.loads(message["text"])
            self.frames.append(frame)
            if self.acks and "ackid" in frame:
                self.say({"event": "ack", "ackid": frame["ackid"]})
        elif message["type"] == "websocket.close" and self.close_code is None:
            self.close_code, self.reason = message["code"], message.get("reason", "")
            self._incoming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    def say(self, frame: object) -> None:
        """Send a frame: JSON, or text as it is."""
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def say_bytes(self, data: bytes) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "bytes": data})

    async def ask(self, event: str, payload: object = None, id: str = "q") -> Json:
        """A request's answer: the whole frame."""
        seen = len(self.frames)
        self.say({"event": event, "id": id, "payload": payload})

        def answer() -> Json | None:
            found = (f for f in self.frames[seen:] if f["event"] in ("reply", "error") and f.get("id") == id)
            return next(found, None)

        return await eventually(answer)

    async def settled(self) -> None:
        """Everything said before this was taken: a ping came back."""
        pongs = len(self.events("pong"))
        self.say({"event": "ping"})
        await eventually(lambda: len(self.events("pong")) > pongs)

    async def opened(self) -> MemorySocket:
        """The first frame has come."""
        await eventually(lambda: self.frames or self.close_code)
        assert self.frames[0]["event"] == "connect", (self.frames, self.close_code)
        return self

    async def closed(self, within: float = 5.0) -> int:
        """The code that the server closed it with."""
        await eventually(lambda: self.close_code is not None and self.task.done(), within)
        assert self.close_code is not None
        return self.close_code

    async def leave(self) -> None:
        """Vanish."""
        self._gone = True
        self.reads.set()
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await self.task

    def events(self, name: str) -> list[Json]:
        return [frame["payload"] for frame in self.frames if frame["event"] == name]

    def texts(self) -> list[str]:
        """The texts that were pushed, in order of arrival, repetitions too."""
        bodies = [payload["body"] for payload in self.events("im.message")]
        return [json.loads(body["extra"]).get("content", "") for body in bodies if body["msg_type"] == 1]

    def seqs(self) -> list[int]:
        return [payload["body"]["sequence"] for payload in self.events("im.message")]

    async def has(self, *texts: str) -> None:
        """Wait until exactly these texts have been pushed, in this order."""

        def so() -> bool:
            assert self.texts() == list(texts), self.texts()
            return True

        await eventually(so)


class Away:
    """Stands for a method of a store whose engine is away; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, *_: object, **__: object) -> Any:
        self.asked += 1
        raise Unavailable()


class SocketWorld:
    """A running process with users in it."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.ports: Ports = process.container.ports()
        self.hub = process.container.hub()
        self.order = process.container.push_order()
        self.deliverer = process.container.deliverer()
        self.housekeeping = process.container.socket_housekeeping()
        self._effects = process.container.placement().stub(EffectPort)
        self._versions: Counter[object] = Counter()
        self._sockets: list[MemorySocket] = []
        self._mobiles: dict[UserId, str] = {}

    async def user(self, name: str) -> UserId:
        mobile = f"138{len(self._mobiles):08d}"
        user_id = await self.ports.accounts.create(name, mobile, PASSWORD)
        self._mobiles[user_id] = mobile
        return user_id

    async def token(self, user_id: UserId, platform: str = "web") -> str:
        """A new log-in's."""
        origin = LoginOrigin(platform, "192.0.2.1", "test")
        return (await self.ports.accounts.log_in(self._mobiles[user_id], PASSWORD, origin)).token

    async def friends(self, *names: str) -> list[UserId]:
        """Users, each befriended with the first."""
        first, *others = [await self.user(name) for name in names]
        for other in others:
            await self.befriend(first, other)
        return [first, *others]

    async def befriend(self, a: UserId, b: UserId) -> ConversationId:
        return await self._apply(Kind.PRIVATE, private_parties(a, b), [(a, True), (b, True)])

    async def gather(self, group_id: int, *members: UserId) -> ConversationId:
        """They are in the group now, and told so."""
        event = EffectEvent(EntryType.MEMBERS_JOINED, members[0], {"members": []})
        return await self._apply(Kind.GROUP, (group_id, 0), [(member, True) for member in members], event)

    async def remove(self, group_id: int, member: UserId) -> ConversationId:
        event = EffectEvent(EntryType.MEMBERS_REMOVED, member, {"members": []})
        return await self._apply(Kind.GROUP, (group_id, 0), [(member, False)], event)

    async def notify(self, user_id: UserId) -> None:
        """An entry of the user's own conversation: the list is to be read again."""
        await self._effects.apply(Effect(new_msg_id(), notices=[SelfNotice(user_id, EntryType.SELF_RELOAD, {})]))

    async def _apply(
        self, kind: Kind, parties: tuple[int, int], members: list[tuple[UserId, bool]],
        event: EffectEvent | None = None,
    ) -> ConversationId:  # fmt: skip
        changes = []
        for user_id, active in members:
            self._versions[parties, user_id] += 1
            changes.append(MemberChange(user_id, self._versions[parties, user_id], active))
        return await self._effects.apply(Effect(new_msg_id(), kind, parties, changes, event=event))

    async def send(self, sender: UserId, to: UserId, text: str, msg_id: MsgId | None = None) -> SendResult:
        return await self._send(sender, private_ref(to), text, msg_id)

    async def say(self, sender: UserId, group_id: int, text: str) -> SendResult:
        return await self._send(sender, group_ref(GroupId(group_id)), text)

    async def _send(self, sender: UserId, ref: Ref, text: str, msg_id: MsgId | None = None) -> SendResult:
        draft = NewMessage(ref, msg_id or new_msg_id(), EntryType.TEXT, {"content": text})
        return await self.ports.messages.send(sender, draft)

    def dial(self, token: str, path: str = "/wss/default.io", ip: str = "", **query: str) -> MemorySocket:
        """Connect, whatever comes of it; `ip` is the address it is counted for."""
        given = "".join(f"&{name}={value}" for name, value in query.items())
        socket = MemorySocket(self.process, path, f"token={token}{given}", ip)
        self._sockets.append(socket)
        return socket

    async def page(self, token: str, acks: bool = True) -> MemorySocket:
        """A web client that is connected."""
        socket = self.dial(token, platform="web")
        socket.acks = acks
        return await socket.opened()

    async def device(self, token: str, **query: str) -> MemorySocket:
        """A client with sync that is connected."""
        return await self.dial(token, sync="1", **query).opened()

    async def quiet(self) -> None:
        """Nothing is on its way to the sockets any more."""
        await eventually(lambda: not self.order.held)
        await self.process.container.appender().drained()
        delivery = self.process.container.delivery_service()
        for _ in range(3):
            await asyncio.sleep(0)
            await delivery.drained()

    async def cursor(self, user_id: UserId, token: str, conversation_id: ConversationId) -> int:
        """What is stored for a log-in's device."""
        login_id = await self.login_of(token)
        states = await self.ports.devices.open_device(user_id, login_id, True)
        return next(state.cursor for state in states if state.conversation_id == conversation_id)

    async def login_of(self, token: str) -> Any:
        caller = await self.process.container.authenticator().authenticate(token)
        return LoginId(caller.login_id)

    async def close(self) -> None:
        for socket in self._sockets:
            socket.reads.set()
            if not socket.task.done():
                await socket.leave()


@asynccontextmanager
async def socket_world(
    folder: Path,
    predecessor: PredecessorSettings | None = None,
    presence: PresenceSettings | None = None,
    **gateway: Any,
) -> AsyncIterator[SocketWorld]:
    """A monolith in this test, on free ports; `gateway` are settings of the gateway."""
    quick = {"drain_seconds": 0, "retransmit_seconds": 0.1, "cursor_flush_seconds": 60, "sends_per_second_per_user": 0}
    settings = Settings(
        embedded=True, data_dir=folder, admin_port=0, user=QUICK_PASSWORDS,
        gateway=GatewaySettings(http_port=0, ws_port=0, **{**quick, **gateway}),
        predecessor=predecessor or PredecessorSettings(), presence=presence or PresenceSettings(),
    )  # fmt: skip
    process = await run_process(settings)
    world = SocketWorld(process)
    try:
        yield world
    finally:
        await world.close()
        with contextlib.suppress(asyncio.CancelledError):
            await process.stop(asyncio.Event())
