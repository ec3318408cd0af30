"""What a change of a pair means for `message`, and the way it gets there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from xinyu.contact.types import ApplicationId
from xinyu.kernel.ids import MsgId, UserId
from xinyu.message.port import EffectPort
from xinyu.message.types import (
    Effect,
    EffectEvent,
    EntryType,
    Kind,
    MemberChange,
    Ref,
    SelfNotice,
    private_parties,
    private_ref,
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Effect).decode


class EffectCarrier(Protocol):
    """Brings recorded effects about (`storage.effects.EffectRelay`)."""

    async def carry_out(self, effect_id: str) -> None:
        """Return when the effect took; done or unknown ones are nothing to do. Raises EffectPending."""


def body_of(effect: Effect) -> str:
    """`effect` as text, for the effect table."""
    return _encode(effect).decode()


def key_of(effect: Effect) -> str:
    """Effects with the same key are carried out in order."""
    if effect.kind is Kind.SELF:
        return f"{Kind.SELF}:{effect.notices[0].user_id}"
    return f"{effect.kind}:{effect.parties[0]}:{effect.parties[1]}"


def applied_by(port: EffectPort) -> Callable[[str], Awaitable[None]]:
    """How a relay carries out the text of an effect: by asking `port`."""

    async def apply(body: str) -> None:
        await port.apply(_decode(body))

    return apply


def application_effect(
    effect_id: str, application_id: ApplicationId, applicant_id: UserId, target_id: UserId, remark: str, now_ms: int
) -> Effect:
    """The target learns of an application."""
    content = {"apply_id": application_id, "user_id": applicant_id, "remark": remark, "apply_time": now_ms}
    notice = SelfNotice(target_id, EntryType.SELF_CONTACT_APPLY, content)
    return Effect(MsgId(effect_id), notices=[notice])


def acceptance_effect(
    effect_id: str, acceptor: MemberChange, applicant: MemberChange, greeting: str, now_ms: int
) -> Effect:
    """Two users are contacts from now on."""
    accepted = {"user_id": acceptor.user_id, "accept_time": now_ms}
    return Effect(
        MsgId(effect_id),
        kind=Kind.PRIVATE,
        parties=private_parties(acceptor.user_id, applicant.user_id),
        members=[acceptor, applicant],
        event=EffectEvent(EntryType.TEXT, acceptor.user_id, {"content": greeting}),
        notices=[
            SelfNotice(applicant.user_id, EntryType.SELF_CONTACT_ACCEPTED, accepted),
            _conversation_appeared(applicant.user_id, private_ref(acceptor.user_id)),
            _conversation_appeared(acceptor.user_id, private_ref(applicant.user_id)),
        ],
    )


def accepting_effect(effect_id: str, change: MemberChange, peer_id: UserId) -> Effect:
    """One user accepts messages from the other, or does no more. He may go on reading."""
    return Effect(
        MsgId(effect_id), kind=Kind.PRIVATE, parties=private_parties(change.user_id, peer_id), members=[change]
    )


def _conversation_appeared(user_id: UserId, ref: Ref) -> SelfNotice:
    content = {"talk_mode": int(ref.kind), "to_from_id": ref.target_id}
    return SelfNotice(user_id, EntryType.SELF_CONVERSATION, content)
