"""What a change means for the group's conversation: effects, their events and notices (CONTRACT.md section 3.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from xinyu.group.types import Group, Member
from xinyu.kernel.ids import GroupId, MsgId, UserId
from xinyu.message.port import EffectPort
from xinyu.message.types import (
    ConversationState,
    Effect,
    EffectEvent,
    EntryType,
    Kind,
    MemberChange,
    SelfNotice,
)

_decode = msgspec.json.Decoder(Effect).decode


def apply_with(port: EffectPort) -> Callable[[str], Awaitable[None]]:
    """How the relay carries out a recorded effect, given its JSON."""

    async def apply(body: str) -> None:
        await port.apply(_decode(body))

    return apply


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody does something: who, when, and the names that its event shows."""

    user_id: UserId
    now_ms: int
    effect_id: MsgId
    names: Mapping[UserId, str]

    def operator(self) -> dict[str, Any]:
        """The acting user, as events show him (CONTRACT.md section 3.1)."""
        return {"owner_id": self.user_id, "owner_name": self.names.get(self.user_id, "")}

    def with_members(self, user_ids: Iterable[UserId]) -> dict[str, Any]:
        """The acting user and those concerned, as events show them (CONTRACT.md section 3.1)."""
        members = [{"user_id": user_id, "nickname": self.names.get(user_id, "")} for user_id in user_ids]
        return {**self.operator(), "members": members}


def effect_on(
    group_id: GroupId,
    act: Act,
    members: Iterable[Member] = (),
    state: Group | None = None,
    event: EffectEvent | None = None,
    notices: Sequence[SelfNotice] = (),
) -> Effect:
    """What a change means for the group's conversation."""
    return Effect(
        effect_id=act.effect_id,
        kind=Kind.GROUP,
        parties=(group_id, 0),
        members=[
            MemberChange(member.user_id, member.version, member.active, member.role, member.muted_until_ms)
            for member in members
        ],
        state=ConversationState(state.version, state.mute_all, state.dismissed_ms > 0) if state else None,
        event=event,
        notices=list(notices),
    )


def event_of(entry_type: EntryType, content: dict[str, Any]) -> EffectEvent:
    """An event of the system: nobody sent it."""
    return EffectEvent(int(entry_type), UserId(0), content)


def listed_notice(group_id: GroupId, user_id: UserId) -> SelfNotice:
    """Tells a new member's devices that the group is in his list now."""
    content = {"talk_mode": int(Kind.GROUP), "to_from_id": group_id}
    return SelfNotice(user_id, int(EntryType.SELF_CONVERSATION), content)


def effect_of_create(group_id: GroupId, act: Act, members: Sequence[Member]) -> Effect:
    """All members join, everybody is told; the event names all but the owner."""
    created = {"group_id": group_id, "operator_id": act.user_id}
    notices = [SelfNotice(member.user_id, int(EntryType.SELF_GROUP_CREATED), created) for member in members]
    others = [member.user_id for member in members if member.user_id != act.user_id]
    return effect_on(
        group_id,
        act,
        members,
        event=event_of(EntryType.GROUP_CREATED, act.with_members(others)),
        notices=[*notices, *(listed_notice(group_id, member.user_id) for member in members)],
    )
