"""What conversations must be, said as simply as possible: lists and sets, no cursors, no ordinals, no SQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from xinyu.kernel.ids import MsgId, UserId
from xinyu.message.types import Effect, EntryType, Kind, Ref, Role

Parties = tuple[int, int]
Shown = tuple[int, int, bool, bool]
"""(seq, type, hidden, recalled)"""


@dataclass
class ModelEntry:
    """One entry of a log."""

    seq: int
    type: int
    sender: UserId
    msg_id: MsgId | None = None
    recalled: bool = False

    @property
    def counts(self) -> bool:
        return self.type < EntryType.SYSTEM_TEXT


@dataclass
class ModelMember:
    """One user in a conversation."""

    version: int = 0
    active: bool = True
    role: Role = Role.MEMBER
    muted: bool = False
    accepts: bool = True
    pinned: bool = False
    hidden_at: int = -1
    cleared: int = 0
    read: int = 0
    deleted: set[int] = field(default_factory=set)
    intervals: list[list[int | None]] = field(default_factory=list)

    @property
    def left_at(self) -> int | None:
        return self.intervals[-1][1]

    def was_in_at(self, seq: int) -> bool:
        return any(
            join is not None and join < seq and (leave is None or seq <= leave) for join, leave in self.intervals
        )


@dataclass
class ModelConversation:
    """One log and its members."""

    kind: Kind
    parties: Parties
    log: list[ModelEntry] = field(default_factory=list)
    members: dict[UserId, ModelMember] = field(default_factory=dict)
    state_version: int = 0
    mute_all: bool = False
    dismissed: bool = False

    @property
    def head(self) -> int:
        return len(self.log)

    def append(self, type_: int, sender: UserId, msg_id: MsgId | None = None) -> ModelEntry:
        self.log.append(ModelEntry(self.head + 1, type_, sender, msg_id))
        return self.log[-1]

    def head_of(self, user: UserId) -> int:
        """The newest that is a member's, or was a former member's."""
        left = self.members[user].left_at
        return self.head if left is None else left

    def ref_for(self, user: UserId) -> Ref:
        if self.kind is Kind.PRIVATE and self.parties[0] == user:
            return Ref(self.kind, self.parties[1])
        return Ref(self.kind, self.parties[0])

    def refusal(self, sender: UserId) -> str:
        """Why the sender may not send now: an error's name, "not accepted", or nothing."""
        me = self.members.get(sender)
        if self.kind is Kind.PRIVATE:
            peer = self.members.get(UserId(sum(self.parties) - sender))
            return "" if me and peer and peer.accepts else "not accepted"
        if me is None:
            return "NotAMember"
        if self.dismissed:
            return "ConversationClosed"
        if not me.active:
            return "NotAMember"
        return "SenderMuted" if me.muted or (self.mute_all and me.role is Role.MEMBER) else ""

    def visible(self, user: UserId) -> list[Shown]:
        """What a user reads."""
        me = self.members.get(user)
        if me is None:
            return []
        return [
            (e.seq, e.type, e.seq <= me.cleared or e.seq in me.deleted, e.recalled)
            for e in self.log
            if me.was_in_at(e.seq)
        ]

    def unread(self, user: UserId) -> int:
        me = self.members[user]
        return sum(e.counts and e.sender != user for e in self.log[me.read : self.head_of(user)])

    def preview(self, user: UserId) -> int | None:
        shown = [seq for seq, type_, hidden, _ in self.visible(user) if not hidden and type_ != EntryType.RECALLED]
        return shown[-1] if shown else None

    def receivers(self, seq: int) -> set[UserId]:
        return {user for user, member in self.members.items() if member.was_in_at(seq)}

    def is_listed(self, user: UserId) -> bool:
        me = self.members.get(user)
        return me is not None and me.active and not self.dismissed and me.hidden_at < self.head


class ConversationModel:
    """All conversations."""

    def __init__(self) -> None:
        self.conversations: dict[tuple[Kind, Parties], ModelConversation] = {}
        self.applied: set[str] = set()
        self.own: dict[UserId, list[int]] = {}
        """Types of the entries of each user's own conversation."""

    def of(self, user: UserId) -> Iterator[ModelConversation]:
        """Those a user is or was in."""
        return (c for c in self.conversations.values() if user in c.members and c.members[user].intervals)

    def find(self, kind: Kind, parties: Parties) -> ModelConversation | None:
        return self.conversations.get((kind, parties))

    def ensure(self, kind: Kind, parties: Parties) -> ModelConversation:
        return self.conversations.setdefault((kind, parties), ModelConversation(kind, parties))

    def tell(self, user: UserId, type_: int) -> None:
        self.own.setdefault(user, []).append(type_)

    def open(self, user: UserId, parties: Parties) -> None:
        """A private conversation is shown to a user."""
        conversation = self.ensure(Kind.PRIVATE, parties)
        for party in parties:
            if UserId(party) not in conversation.members:
                new = ModelMember(accepts=False, hidden_at=0, intervals=[[0, None]])
                conversation.members[UserId(party)] = new
        conversation.members[user].hidden_at = -1

    def apply(self, effect: Effect) -> None:
        """An effect of contact or group, perhaps late, perhaps again."""
        conversation = self.ensure(effect.kind, effect.parties)
        again = effect.event is not None and effect.effect_id in self.applied
        newer = [c for c in effect.members if c.user_id not in conversation.members]
        newer += [c for c in effect.members if c not in newer and c.version > conversation.members[c.user_id].version]
        state = effect.state if effect.state and effect.state.version > conversation.state_version else None
        if again or (not newer and state is None):
            return
        self.applied.add(effect.effect_id)
        if state is not None:
            conversation.state_version = state.version
            conversation.mute_all, conversation.dismissed = state.mute_all, state.dismissed
        before = conversation.head
        if effect.event is not None:
            conversation.append(effect.event.type, effect.event.sender_id)
        for change in newer:
            known = conversation.members.get(change.user_id)
            member = conversation.members.setdefault(change.user_id, ModelMember(active=False, accepts=True))
            if known is not None and change.accepts and not member.accepts:
                member.hidden_at = -1
            if change.active and not member.active:
                member.intervals.append([before, None])
                member.read, member.hidden_at = before, -1
            elif member.active and not change.active:
                member.intervals[-1][1] = conversation.head
            member.version, member.active, member.role = change.version, change.active, change.role
            member.muted, member.accepts = change.muted_until_ms > 0, change.accepts
        for notice in effect.notices:
            if notice.user_id not in {c.user_id for c in effect.members} - {c.user_id for c in newer}:
                self.tell(notice.user_id, notice.type)
