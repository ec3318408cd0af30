"""The contact domain over a real store, with small stand-ins for the domains below it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

import xinyu.contact
from testkit.clock import ManualClock
from xinyu.contact.applications import ApplicationService
from xinyu.contact.effects import applied_by
from xinyu.contact.groups import ContactGroupService
from xinyu.contact.port import ApplicationPort, ContactGroupPort, ContactPort
from xinyu.contact.service import ContactService
from xinyu.contact.settings import ContactSettings
from xinyu.contact.store_sql import SqlPairStore
from xinyu.contact.store_sql_groups import SqlContactGroupStore
from xinyu.contact.tables import effects as effect_rows
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import ConversationId, UserId
from xinyu.kernel.port import Port
from xinyu.message.port import ConversationPort, EffectPort, MessagePort
from xinyu.message.types import Effect, EffectEvent, MemberChange, Ref, SelfNotice
from xinyu.presence.port import PresencePort
from xinyu.presence.types import OnlineUser
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_loopback import LoopbackTransport
from xinyu.storage.effects import EffectLog, EffectRelay
from xinyu.storage.migrations import History, upgrade
from xinyu.storage.sql import Database, open_database
from xinyu.user.port import ProfilePort
from xinyu.user.types import Profile

PortT = TypeVar("PortT", bound=Port)
HISTORY = History("contact", Path(xinyu.contact.__file__).parent / "migrations")
ANN, BOB, CID, DAN = UserId(1), UserId(2), UserId(3), UserId(4)


def port_of(port: type[PortT], **methods: Any) -> PortT:
    """A `port` with these methods; any other fails the test that calls it."""

    async def unexpected(*_args: object, **_kwargs: object) -> None:
        raise AssertionError(f"an unexpected call of {port.__name__}")

    names = [name for name in vars(port) if not name.startswith("_")]
    body = {name: methods.pop(name, unexpected) for name in names}
    assert not methods, f"{port.__name__} has no {sorted(methods)}"
    made = type(f"Small{port.__name__}", (port,), {name: staticmethod(method) for name, method in body.items()})
    return cast(PortT, made())


class RecordingMessage:
    """As much of the message domain as contact sees: versions decide, an effect's event and notices come once."""

    def __init__(self) -> None:
        self.members: dict[tuple[int, UserId], MemberChange] = {}
        """By peer and user."""
        self.events: list[EffectEvent] = []
        self.notices: list[SelfNotice] = []
        self.forgotten: list[tuple[str, UserId, Ref]] = []
        self.failures: list[XinyuError] = []
        """The next applications of effects fail with these."""
        self.applied: list[Effect] = []
        self._seen: set[str] = set()
        self.effects = port_of(EffectPort, apply=self._apply)
        self.messages = port_of(MessagePort, clear=self._note("clear"))
        self.conversations = port_of(ConversationPort, hide=self._note("hide"))

    def accepts(self, user_id: UserId, peer_id: UserId) -> bool:
        """Whether `user_id` accepts messages from `peer_id`."""
        member = self.members.get((peer_id, user_id))
        return member is not None and member.accepts

    async def _apply(self, effect: Effect) -> ConversationId:
        if self.failures:
            raise self.failures.pop(0)
        effect = msgspec.json.decode(msgspec.json.encode(effect), type=Effect)
        self.applied.append(effect)
        is_news = not effect.members
        for change in effect.members:
            peer = effect.parties[0] if effect.parties[1] == change.user_id else effect.parties[1]
            known = self.members.get((peer, change.user_id))
            if known is None or change.version > known.version:
                self.members[peer, change.user_id] = change
                is_news = True
        if is_news and effect.effect_id not in self._seen:
            self.events += [effect.event] if effect.event else []
            self.notices += effect.notices
        self._seen.add(effect.effect_id)
        return ConversationId(1 if effect.members else 0)

    def _note(self, what: str) -> Any:
        async def note(user_id: UserId, ref: Ref) -> None:
            self.forgotten.append((what, user_id, ref))

        return note


class ContactWorld:
    """One process of the contact domain: services behind stubs of either kind."""

    def __init__(
        self,
        database: Database,
        clock: ManualClock,
        message: RecordingMessage,
        settings: ContactSettings,
        encoded: bool = False,
    ) -> None:
        self.clock, self.message = clock, message
        self.users = {
            user_id: Profile(user_id, name, mobile=f"1380000000{user_id}", email=f"{name}@example.org")
            for user_id, name in ((ANN, "ann"), (BOB, "bob"), (CID, "cid"), (DAN, "dan"))
        }
        self.online: set[UserId] = set()
        log = EffectLog(database, effect_rows, clock)
        self.log = log
        self.relay = EffectRelay(log, applied_by(message.effects), clock, "contact")
        self.store = SqlPairStore(database, log)
        self.group_store = SqlContactGroupStore(database)
        self.profiles = port_of(ProfilePort, list_profiles=self._list_profiles, find_by_mobile=self._find_by_mobile)
        self.presence = port_of(PresencePort, list_online=self._list_online)
        profiles, presence = self.profiles, self.presence
        served: list[tuple[type[Port], Port]] = [
            (
                ContactPort,
                ContactService(
                    self.store, self.relay, profiles, presence, message.messages, message.conversations, clock
                ),
            ),
            (ApplicationPort, ApplicationService(self.store, self.relay, profiles, clock, settings)),
            (ContactGroupPort, ContactGroupService(self.group_store, settings)),
        ]
        ports = dict(served)
        if encoded:
            dispatcher = Dispatcher()
            for port, service in served:
                dispatcher.add(port, service)
            ports = {port: make_stub(port, LoopbackTransport(dispatcher)) for port in ports}
        self.contacts = cast(ContactPort, ports[ContactPort])
        self.applications = cast(ApplicationPort, ports[ApplicationPort])
        self.groups = cast(ContactGroupPort, ports[ContactGroupPort])

    async def _list_profiles(self, user_ids: list[UserId]) -> list[Profile]:
        return [self.users[user_id] for user_id in user_ids if user_id in self.users]

    async def _find_by_mobile(self, mobile: str) -> Profile | None:
        return next((profile for profile in self.users.values() if profile.mobile == mobile), None)

    async def _list_online(self, user_ids: list[UserId]) -> list[OnlineUser]:
        return [OnlineUser(user_id, ["web"], []) for user_id in user_ids if user_id in self.online]

    async def befriend(self, applicant: UserId, target: UserId) -> int:
        """The id of the application that was accepted."""
        await self.applications.apply(applicant, target, "hello")
        pending = await self.applications.list_pending(target)
        application_id = next(item.application_id for item in pending if item.applicant_id == applicant)
        await self.applications.accept(target, application_id, "")
        return application_id


@asynccontextmanager
async def migrated_database(dsn: str) -> AsyncIterator[Database]:
    """A database with the contact domain's tables."""
    database = open_database(dsn)
    await database.start()
    try:
        await upgrade(database, HISTORY)
        yield database
    finally:
        await database.stop()
