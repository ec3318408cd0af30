"""The message domain over a real store, with small stand-ins for who is asked about users, groups and contacts."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

import xinyu.message
from testkit.clock import ManualClock
from testkit.contacts import port_of
from testkit.rest import ports_of
from xinyu.contact.errors import UserUnknown
from xinyu.contact.port import ContactPort
from xinyu.delivery.port import DeliveryPort
from xinyu.delivery.types import Push, Signal
from xinyu.gateway.ports import Ports
from xinyu.gateway.services import GatewayServices, services_over
from xinyu.gateway.settings import GatewaySettings
from xinyu.group.port import GroupPort
from xinyu.group.types import GroupInfo
from xinyu.kernel.ids import ConversationId, DeviceId, GroupId, MediaId, NodeId, SessionId, UploadId, UserId, new_msg_id
from xinyu.media.errors import EmoticonNotFound, UploadNotFound
from xinyu.media.port import EmoticonPort, MediaPort
from xinyu.media.types import BlobKey, Emoticon, MediaObject
from xinyu.media.types import Kind as MediaKind
from xinyu.message.addressing import Conversations
from xinyu.message.appender import Appender
from xinyu.message.conversations import ConversationService
from xinyu.message.devices import DeviceService
from xinyu.message.effects import EffectService
from xinyu.message.files import FileEnricher
from xinyu.message.pusher import Pusher
from xinyu.message.sending import Sender
from xinyu.message.service import MessageService
from xinyu.message.settings import MessageSettings
from xinyu.message.store_sql.devices import DeviceStoreSql
from xinyu.message.store_sql.effects import EffectStoreSql
from xinyu.message.store_sql.lists import ListStoreSql
from xinyu.message.store_sql.log import LogStoreSql
from xinyu.message.store_sql.outbox import OutboxStoreSql
from xinyu.message.types import Effect, EffectEvent, Entry, Kind, MemberChange, private_parties
from xinyu.presence.service import PresenceService
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.types import NodeRef, OnlineUser, PresenceEntry
from xinyu.storage.migrations import History, upgrade
from xinyu.storage.sql import Database, open_database
from xinyu.user.port import ProfilePort
from xinyu.user.types import Profile

HISTORY = History("message", Path(xinyu.message.__file__).parent / "migrations")
NODE = NodeRef(NodeId("n1"), 1)
ANN, BOB, CID, DAN = UserId(1), UserId(2), UserId(3), UserId(4)
CROWD = GroupId(50)


class TalkWorld:
    """The message domain of one process, and a gateway's view of it. Ann and Bob, and Ann and Cid, are contacts; Dan
    knows nobody; Ann (owner), Bob and Cid are the group CROWD."""

    def __init__(self, database: Database, settings: GatewaySettings) -> None:
        self.clock = ManualClock()
        self.users = {
            user_id: Profile(user_id, name, avatar=f"/media/{name}.png")
            for user_id, name in ((ANN, "ann"), (BOB, "bob"), (CID, "cid"), (DAN, "dan"))
        }
        self.remarks: dict[tuple[UserId, UserId], str] = {}
        self.blocks: set[tuple[UserId, UserId]] = set()
        """(who, whom)."""
        self.pushes: list[Push] = []
        self.signals: list[Signal] = []
        self.calls: Counter[str] = Counter()
        """How often profiles, contacts and groups were asked."""
        self.emoticons: dict[tuple[UserId, int], Emoticon] = {}
        self.uploads: dict[tuple[UserId, str], MediaObject] = {}
        self.versions: Counter[object] = Counter()
        self._compose(database)
        self.services: GatewayServices = services_over(self.ports, settings)

    def _compose(self, database: Database) -> None:
        settings, clock = MessageSettings(), self.clock
        log, lists, devices = LogStoreSql(database, False), ListStoreSql(database), DeviceStoreSql(database)
        conversations = Conversations(log, 1000)
        delivery = port_of(DeliveryPort, dispatch=self._dispatch, signal=self._signal)
        self.pusher = Pusher(delivery, OutboxStoreSql(database, False), clock)
        self.appender = Appender(log, self.pusher, clock, settings, lanes=1)
        self.presence = PresenceService(MemoryPresenceStore(), clock, 30.0)
        files = FileEnricher(port_of(MediaPort, get_by_upload=self._get_by_upload))
        self.effects = EffectService(EffectStoreSql(database), self.pusher, clock)
        sender = Sender(log, conversations, self.appender, files, clock, settings)
        self.messages = MessageService(log, devices, conversations, sender, self.pusher, clock, settings)
        self.ports: Ports = ports_of(
            messages=self.messages,
            conversations=ConversationService(
                lists, devices, conversations, self.pusher, delivery, self.presence, clock
            ),
            devices=DeviceService(devices, clock),
            presence=self.presence,
            profiles=port_of(ProfilePort, list_profiles=self._list_profiles),
            contacts=port_of(
                ContactPort,
                list_remarks=self._list_remarks,
                is_online=self._is_online,
                list_online=self._list_online,
            ),
            groups=port_of(GroupPort, list_groups_by_id=self._list_groups),
            emoticons=port_of(EmoticonPort, get_emoticon=self._get_emoticon),
        )

    async def befriend(self, a: UserId, b: UserId, accepts: bool = True) -> ConversationId:
        """The two accept each other's messages; with `accepts=False`, `b` does no more."""
        parties = private_parties(a, b)
        changes = [
            MemberChange(a, self._version(parties, a), active=True),
            MemberChange(b, self._version(parties, b), active=True, accepts=accepts),
        ]
        return await self.effects.apply(Effect(new_msg_id(), Kind.PRIVATE, parties, changes))

    async def gather(self, group_id: GroupId, *members: UserId, event: EffectEvent | None = None) -> ConversationId:
        """These are in a group."""
        parties = (group_id, 0)
        changes = [MemberChange(user_id, self._version(parties, user_id), active=True) for user_id in members]
        return await self.effects.apply(Effect(new_msg_id(), Kind.GROUP, parties, changes, event=event))

    async def connect(self, user_id: UserId, platform: str = "web") -> None:
        """The user has a session."""
        device = DeviceId(f"{user_id:032x}")
        await self.presence.register(PresenceEntry(user_id, SessionId(f"s{user_id}"), device, platform, NODE))

    def pushed(self) -> list[Entry]:
        """What was handed to delivery, decoded, in order."""
        return [msgspec.json.decode(push.payload, type=Entry) for push in self.pushes]

    def _version(self, parties: tuple[int, int], user_id: UserId) -> int:
        self.versions[parties, user_id] += 1
        return self.versions[parties, user_id]

    async def _dispatch(self, pushes: list[Push]) -> None:
        self.pushes += pushes

    async def _signal(self, signals: list[Signal]) -> None:
        self.signals += signals

    async def _list_profiles(self, user_ids: list[UserId]) -> list[Profile]:
        self.calls["profiles"] += 1
        return [self.users[user_id] for user_id in user_ids if user_id in self.users]

    async def _list_remarks(self, owner_id: UserId, user_ids: list[UserId]) -> list[tuple[UserId, str]]:
        self.calls["remarks"] += 1
        return [(other, self.remarks[owner_id, other]) for other in user_ids if (owner_id, other) in self.remarks]

    async def _is_online(self, _user_id: UserId, target_id: UserId) -> bool:
        if target_id not in self.users:
            raise UserUnknown()
        return bool(await self.presence.list_online([target_id]))

    async def _list_online(self, user_id: UserId, user_ids: list[UserId]) -> list[OnlineUser]:
        return await self.presence.list_online([other for other in user_ids if (other, user_id) not in self.blocks])

    async def _list_groups(self, group_ids: Sequence[GroupId]) -> list[GroupInfo]:
        self.calls["groups"] += 1
        return [GroupInfo(group_id, f"group {group_id}", "/media/g.png", False) for group_id in group_ids]

    async def _get_emoticon(self, owner_id: UserId, emoticon_id: int) -> Emoticon:
        if (owner_id, emoticon_id) not in self.emoticons:
            raise EmoticonNotFound()
        return self.emoticons[owner_id, emoticon_id]

    async def _get_by_upload(self, owner_id: UserId, upload_id: UploadId) -> MediaObject:
        if (owner_id, upload_id) not in self.uploads:
            raise UploadNotFound()
        return self.uploads[owner_id, upload_id]


def media_object(owner_id: UserId, name: str) -> MediaObject:
    """Something that was uploaded."""
    return MediaObject(
        MediaId("d" * 32), owner_id, MediaKind.IMAGE, name, 321, "image/png", "0" * 64, f"/media/{name}", 0,
        BlobKey("b"), 20, 10,
    )  # fmt: skip


@asynccontextmanager
async def talk_world(folder: Path, settings: GatewaySettings | None = None) -> AsyncIterator[TalkWorld]:
    """A world on a fresh SQLite file, its runs running."""
    database = open_database(f"sqlite:///{folder / 'message.db'}")
    await database.start()
    try:
        await upgrade(database, HISTORY)
        world = TalkWorld(database, settings or GatewaySettings())
        runs = [asyncio.create_task(world.appender.run()), asyncio.create_task(world.pusher.run())]
        try:
            await world.befriend(ANN, BOB)
            await world.befriend(ANN, CID)
            await world.gather(CROWD, ANN, BOB, CID)
            yield world
        finally:
            for run in runs:
                run.cancel()
            for run in runs:
                with contextlib.suppress(asyncio.CancelledError):
                    await run
    finally:
        await database.stop()
