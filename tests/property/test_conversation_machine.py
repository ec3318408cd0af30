"""The message domain against a model of lists and sets: whatever is done in whatever order, with effects late, lost in
between and repeated, everybody sees one dense order of what is his to see, and his counts are right (G2, G3, G5, G6).
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from testkit.conversation_model import ConversationModel, ModelConversation, ModelEntry, Shown
from testkit.messages import message_database
from testkit.talks import TalkWorld
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import DeviceId, MsgId, UserId, derived_msg_id
from xinyu.message.store_sql.log import LogStoreSql
from xinyu.message.types import (
    ConversationState,
    Effect,
    EffectEvent,
    Entry,
    EntryType,
    Kind,
    MemberChange,
    NewMessage,
    Ref,
    Role,
    SelfNotice,
    SendResult,
    private_parties,
)
from xinyu.storage.sql import InlineSqliteDatabase

T = TypeVar("T")
USERS = [UserId(number) for number in (1, 2, 3, 4)]
GROUPS = [(50, 0), (51, 0)]
PAIRS = [private_parties(a, b) for a in USERS for b in USERS if a < b]
FAR_MS = 2**52
PHONE = DeviceId("phone")
users = st.sampled_from(USERS)
conversations = st.sampled_from([*((Kind.GROUP, parties) for parties in GROUPS), *((Kind.PRIVATE, p) for p in PAIRS)])
some_users = st.lists(users, min_size=1, max_size=3, unique=True)
index = st.integers(0, 1000)
at_once = st.sampled_from([True, True, False])


@cache
def migrated_file() -> Path:
    """A database file with the schema and no rows, to be copied."""
    path = Path(tempfile.mkdtemp(prefix="xinyu-machine-")) / "template.db"

    async def make() -> None:
        async with message_database(f"sqlite:///{path}", sqlite_inline=True):
            pass

    asyncio.run(make())
    return path


def shown(entry: Entry) -> Shown:
    assert (entry.content == "{}") == (entry.hidden or entry.recalled), "a tombstone has no content, all else has"
    return (entry.seq, entry.type, entry.hidden, entry.recalled)


class ConversationMachine(RuleBasedStateMachine):
    """Users talk, befriend, block, gather, are kicked and come back."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="xinyu-machine-"))
        shutil.copy(migrated_file(), self.folder / "message.db")
        self.model = ConversationModel()
        self.effects: list[Effect] = []
        self.versions: Counter[object] = Counter()
        self.sent: list[tuple[UserId, NewMessage, Entry]] = []
        self.made = 0

    @initialize()
    def begin(self) -> None:
        self.database = InlineSqliteDatabase(self.folder / "message.db")
        self.run(self.database.start())

        async def compose() -> TalkWorld:
            world = TalkWorld(self.database, GatewaySettings())
            self.tasks = [asyncio.create_task(world.appender.run()), asyncio.create_task(world.pusher.run())]
            return world

        self.world = self.run(compose())
        self.change_members(GROUPS[0], USERS[:3], active=True, role=Role.MEMBER, muted=False, event=True, now=True)
        self.befriend(PAIRS[0], accepts=True, now=True)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            for user in USERS:
                self.check_view(user)
                self.sync(user, 3, [12] * 10)
            self.check_logs()
            self.check_pushes()
            for task in self.tasks:
                task.cancel()
            self.run(self.ended())
            self.run(self.database.stop())
        self.runner.close()
        shutil.rmtree(self.folder)

    async def ended(self) -> None:
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def run(self, work: Awaitable[T]) -> T:
        async def waited() -> T:
            return await work

        return self.runner.run(waited())

    def refused(self, work: Awaitable[object]) -> str:
        """The name of the error that a call ends with; nothing when it succeeds."""
        try:
            self.run(work)
        except XinyuError as error:
            return type(error).__name__
        return ""

    # Changes above: their effects may wait, come late, come again.

    def effect(
        self,
        kind: Kind,
        parties: tuple[int, int],
        members: list[MemberChange],
        event: EffectEvent | None,
        now: bool,
        state: ConversationState | None = None,
    ) -> None:
        self.made += 1
        told = [SelfNotice(member.user_id, EntryType.SELF_RELOAD, {}) for member in members[:2]]
        effect_id = derived_msg_id("machine", self.made)
        self.effects.append(Effect(effect_id, kind, parties, members, state, event, told))
        if now:
            self.apply(-1)

    def change(self, parties: tuple[int, int], user: UserId, **rights: Any) -> MemberChange:
        self.versions[parties, user] += 1
        return MemberChange(user, self.versions[parties, user], **rights)

    @rule(
        parties=st.sampled_from(GROUPS),
        members=some_users,
        active=st.booleans(),
        role=st.sampled_from(Role),
        muted=st.sampled_from([False, False, True]),
        event=st.booleans(),
        now=at_once,
    )
    def change_members(
        self,
        parties: tuple[int, int],
        members: list[UserId],
        active: bool,
        role: Role,
        muted: bool,
        event: bool,
        now: bool,
    ) -> None:
        until = FAR_MS if muted else 0
        changes = [self.change(parties, u, active=active, role=role, muted_until_ms=until) for u in members]
        type_ = EntryType.MEMBERS_JOINED if active else EntryType.MEMBERS_REMOVED
        content = {"members": [{"user_id": member} for member in members]}
        self.effect(Kind.GROUP, parties, changes, EffectEvent(type_, UserId(0), content) if event else None, now)

    @rule(parties=st.sampled_from(GROUPS), mute_all=st.booleans(), dismissed=st.booleans(), now=at_once)
    def change_state(self, parties: tuple[int, int], mute_all: bool, dismissed: bool, now: bool) -> None:
        self.versions[parties] += 1
        event = EffectEvent(EntryType.GROUP_MUTED, UserId(0), {"owner_id": 1})
        state = ConversationState(self.versions[parties], mute_all, dismissed and self.versions[parties] > 3)
        self.effect(Kind.GROUP, parties, [], event, now, state)

    @rule(parties=st.sampled_from(PAIRS), accepts=st.booleans(), now=at_once)
    def befriend(self, parties: tuple[int, int], accepts: bool, now: bool) -> None:
        a, b = UserId(parties[0]), UserId(parties[1])
        changes = [self.change(parties, a, active=True), self.change(parties, b, active=True, accepts=accepts)]
        greeting = EffectEvent(EntryType.TEXT, a, {"content": "hello"}) if accepts else None
        self.effect(Kind.PRIVATE, parties, changes, greeting, now)

    @rule(parties=st.sampled_from(PAIRS), second=st.booleans(), accepts=st.booleans(), now=at_once)
    def accept_or_block(self, parties: tuple[int, int], second: bool, accepts: bool, now: bool) -> None:
        user = UserId(parties[second])
        self.effect(Kind.PRIVATE, parties, [self.change(parties, user, active=True, accepts=accepts)], None, now)

    @rule(parties=st.sampled_from(GROUPS), user=users, said=st.booleans(), event=st.booleans())
    def come_back(self, parties: tuple[int, int], user: UserId, said: bool, event: bool) -> None:
        """Removed and invited again; perhaps something is said in between."""
        self.change_members(parties, [user], active=False, role=Role.MEMBER, muted=False, event=event, now=True)
        if said:
            self.send([(other, (Kind.GROUP, parties)) for other in USERS if other != user])
        self.change_members(parties, [user], active=True, role=Role.MEMBER, muted=False, event=event, now=True)

    @rule(parties=st.sampled_from(GROUPS), members=some_users, first=users)
    def overtake(self, parties: tuple[int, int], members: list[UserId], first: UserId) -> None:
        """The removal of several comes after the invitation of one of them, which is newer."""
        for active, whom in ((False, members), (True, [first])):
            self.change_members(parties, whom, active=active, role=Role.MEMBER, muted=False, event=True, now=False)
        self.apply(-1)
        self.apply(-2)

    @precondition(lambda self: self.effects)
    @rule(which=index)
    def apply(self, which: int) -> None:
        effect = self.effects[which % len(self.effects)]
        self.run(self.world.effects.apply(effect))
        self.model.apply(effect)

    # What users do.

    def place(self, user: UserId, where: tuple[Kind, tuple[int, int]]) -> tuple[Ref, ModelConversation | None]:
        """A conversation as the user would name it; in a pair of others he names one of them."""
        kind, parties = where
        if kind is Kind.PRIVATE and user not in parties:
            peer = UserId(parties[0])
            parties = private_parties(user, peer)
        conversation = self.model.find(kind, parties)
        return ModelConversation(kind, parties).ref_for(user), conversation

    @rule(batch=st.lists(st.tuples(users, conversations), min_size=1, max_size=6))
    def send(self, batch: list[tuple[UserId, tuple[Kind, tuple[int, int]]]]) -> None:
        drafts, expected = [], []
        for user, where in batch:
            self.made += 1
            ref, conversation = self.place(user, where)
            nowhere = "not accepted" if ref.kind is Kind.PRIVATE else "NotAMember"
            expected.append(conversation.refusal(user) if conversation else nowhere)
            text = {"content": f"m{self.made}"}
            drafts.append(NewMessage(ref, derived_msg_id("sent", self.made), EntryType.TEXT, text))

        async def together() -> list[SendResult | BaseException]:
            calls = (self.world.messages.send(user, d) for (user, _), d in zip(batch, drafts, strict=True))
            return await asyncio.gather(*calls, return_exceptions=True)

        for (user, where), draft, refusal, result in zip(batch, drafts, expected, self.run(together()), strict=True):
            if isinstance(result, BaseException):
                assert type(result).__name__ == refusal
            elif not result.accepted:
                assert refusal == "not accepted" and result.entry.seq == 0
            else:
                conversation = self.place(user, where)[1]
                assert refusal == "" and conversation is not None
                assert conversation.append(EntryType.TEXT, user, draft.msg_id).seq == result.entry.seq
                self.sent.append((user, draft, result.entry))

    @precondition(lambda self: self.sent)
    @rule(which=index, by_somebody_else=st.booleans())
    def send_again(self, which: int, by_somebody_else: bool) -> None:
        user, draft, entry = self.sent[which % len(self.sent)]
        if by_somebody_else and draft.ref.kind is Kind.GROUP:
            thief = USERS[user % len(USERS)]
            assert self.refused(self.world.messages.send(thief, draft)) == "MsgIdConflict"
            return
        again = self.run(self.world.messages.send(user, draft))
        assert again.repeated and (again.entry.seq, again.entry.msg_id) == (entry.seq, entry.msg_id)
        assert again.entry.content == ("{}" if self.logged(entry).recalled else entry.content)

    def logged(self, entry: Entry) -> ModelEntry:
        conversation = self.model.find(entry.kind, entry.parties)
        assert conversation is not None
        return conversation.log[entry.seq - 1]

    @precondition(lambda self: self.sent)
    @rule(which=index, user=users, own=st.booleans())
    def recall(self, which: int, user: UserId, own: bool) -> None:
        sender, _, entry = self.sent[which % len(self.sent)]
        user = sender if own else user
        conversation = self.model.find(entry.kind, entry.parties)
        assert conversation is not None
        logged, me = self.logged(entry), conversation.members.get(user)
        if entry.kind is Kind.PRIVATE and user not in entry.parties:
            return
        if me is None or not me.was_in_at(entry.seq):
            expected = "MessageNotFound"
        elif sender != user:
            expected = "NotYourMessage"
        else:
            expected = "" if me.active or logged.recalled else "NotAMember"
        call = self.world.messages.recall(user, entry.ref_for(user), entry.msg_id)
        assert self.refused(call) == expected
        if not expected and not logged.recalled:
            logged.recalled = True
            conversation.append(EntryType.RECALLED, UserId(0))

    @rule(user=users, where=conversations, which=st.lists(index, min_size=1, max_size=3))
    def delete_for_me(self, user: UserId, where: tuple[Kind, tuple[int, int]], which: list[int]) -> None:
        ref, conversation = self.place(user, where)
        me = conversation.members.get(user) if conversation else None
        logged = [conversation.log[i % conversation.head] for i in which] if conversation and conversation.head else []
        ids = [entry.msg_id or MsgId("0" * 32) for entry in logged]
        known = me is not None and me.intervals
        assert self.refused(self.world.messages.delete(user, ref, ids)) == ("" if known else "NotAMember")
        if me is not None and known:
            fresh = {e.seq for e in logged if e.msg_id and me.was_in_at(e.seq)} - me.deleted
            me.deleted |= fresh
            if fresh:
                self.model.tell(user, EntryType.SELF_DELETED)

    @rule(user=users, where=conversations)
    def clear(self, user: UserId, where: tuple[Kind, tuple[int, int]]) -> None:
        ref, conversation = self.place(user, where)
        me = conversation.members.get(user) if conversation else None
        known = me is not None and me.intervals
        assert self.refused(self.world.messages.clear(user, ref)) == ("" if known else "NotAMember")
        if conversation is not None and me is not None and known and me.cleared < conversation.head_of(user):
            me.cleared = me.read = conversation.head_of(user)
            self.model.tell(user, EntryType.SELF_CLEARED)

    @rule(user=users, where=conversations, seq=st.none() | st.integers(-1, 40))
    def read(self, user: UserId, where: tuple[Kind, tuple[int, int]], seq: int | None) -> None:
        ref, conversation = self.place(user, where)
        me = conversation.members.get(user) if conversation else None
        if conversation is None or me is None or not me.intervals:
            assert self.refused(self.world.ports.conversations.mark_read(user, ref, seq)) == "NotAMember"
            return
        head = conversation.head_of(user)
        me.read = max(me.read, head if seq is None else min(seq, head))
        assert self.run(self.world.ports.conversations.mark_read(user, ref, seq)) == conversation.unread(user)

    @rule(user=users, where=conversations, what=st.sampled_from(["hide", "pin", "unpin"]))
    def arrange(self, user: UserId, where: tuple[Kind, tuple[int, int]], what: str) -> None:
        ref, conversation = self.place(user, where)
        me = conversation.members.get(user) if conversation else None
        port = self.world.ports.conversations
        call = port.hide(user, ref) if what == "hide" else port.set_pinned(user, ref, what == "pin")
        known = me is not None and me.intervals
        assert self.refused(call) == ("" if known else "NotAMember")
        if conversation is None or me is None or not known:
            return
        if what == "hide":
            if me.hidden_at < conversation.head:
                me.hidden_at = conversation.head
                self.model.tell(user, EntryType.SELF_HIDDEN)
        elif me.pinned != (what == "pin"):
            me.pinned = what == "pin"
            self.model.tell(user, EntryType.SELF_PINNED)

    @rule(parties=st.sampled_from(PAIRS), second=st.booleans())
    def open(self, parties: tuple[int, int], second: bool) -> None:
        user, peer = UserId(parties[second]), UserId(parties[not second])
        self.run(self.world.ports.conversations.open(user, Ref(Kind.PRIVATE, peer)))
        self.model.open(user, parties)

    @rule(seconds=st.integers(1, 50))
    def pass_time(self, seconds: int) -> None:
        self.world.clock.jump(seconds / 10_000)

    # What everybody must see.

    @rule(user=users)
    def look(self, user: UserId) -> None:
        self.check_view(user)

    @rule(user=users, limit=st.integers(1, 7), behind=st.lists(st.integers(0, 12), min_size=10, max_size=10))
    def sync(self, user: UserId, limit: int, behind: list[int]) -> None:
        """From any cursors, in pages of any size: exactly what is missing, in order."""
        mine = list(self.model.of(user))
        ids = self.run(self.world.ports.conversations.find_ids(user, [c.ref_for(user) for c in mine]))
        have = {str(id_): max(0, c.head - back) for id_, c, back in zip(ids, mine, behind, strict=False) if back < 12}
        begin = dict(have)
        got: dict[str, list[Shown]] = {}
        for _ in range(500):
            page = self.run(self.world.messages.sync(user, PHONE, have, limit=limit))
            for item in page.items:
                where = str(item.conversation_id)
                got.setdefault(where, []).extend(shown(entry) for entry in item.entries if item.ref.kind != Kind.SELF)
                have[where] = item.last_seq if not item.more else item.entries[-1].seq
            if not page.more:
                break
        else:
            raise AssertionError("a sync without end")
        for id_, conversation in zip(ids, mine, strict=True):
            missing = [s for s in conversation.visible(user) if s[0] > begin.get(str(id_), 0)]
            assert got.get(str(id_), []) == missing

    def check_view(self, user: UserId) -> None:
        views = {view.ref: view for view in self.run(self.world.ports.conversations.list_conversations(user))}
        listed = [c for c in self.model.of(user) if c.is_listed(user)]
        assert set(views) == {c.ref_for(user) for c in listed}
        for conversation in listed:
            view, me = views[conversation.ref_for(user)], conversation.members[user]
            preview = view.preview.seq if view.preview else None
            assert (view.unread, view.last_seq, view.pinned) == (
                conversation.unread(user),
                conversation.head,
                me.pinned,
            )
            assert preview == conversation.preview(user)
        order = [(not view.pinned, -view.updated_at_ms) for view in views.values()]
        assert order == sorted(order), "pinned first, then the newest"
        for conversation in self.model.conversations.values():
            if conversation.kind is Kind.GROUP or user in conversation.parties:
                ref = conversation.ref_for(user)
                page = self.run(self.world.messages.history(user, ref, after=0, limit=200))
                assert [shown(entry) for entry in page.entries] == conversation.visible(user)[:200]
        own = self.run(self.world.messages.history(user, Ref(Kind.SELF, user), after=0, limit=200))
        assert [entry.type for entry in own.entries] == self.model.own.get(user, [])[:200]

    def check_logs(self) -> None:
        """One dense order, whoever looks."""
        for conversation in self.model.conversations.values():
            id_ = self.run(LogStoreSql(self.database, False).find_conversation(conversation.kind, conversation.parties))
            assert id_ is not None
            entries = self.run(self.world.messages.read_range(id_, 1, 10_000))
            assert [(e.seq, e.type, e.sender_id) for e in entries] == [
                (e.seq, e.type, e.sender) for e in conversation.log
            ]

    def check_pushes(self) -> None:
        """Every entry was pushed once, to whoever was a member at it."""
        pushed = {}
        for push in self.world.pushes:
            entry = msgspec.json.decode(push.payload, type=Entry)
            assert (push.conversation_id, push.seq) not in pushed
            pushed[push.conversation_id, push.seq] = set(push.recipients)
            if entry.kind is not Kind.SELF:
                conversation = self.model.find(entry.kind, entry.parties)
                assert conversation is not None
                assert set(push.recipients) == conversation.receivers(entry.seq)
        assert len(pushed) == sum(c.head for c in self.model.conversations.values()) + sum(
            len(types) for types in self.model.own.values()
        )


def test_conversations_are_what_the_model_says() -> None:
    run_state_machine_as_test(
        ConversationMachine,
        settings=settings(
            max_examples=45,
            stateful_step_count=40,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
