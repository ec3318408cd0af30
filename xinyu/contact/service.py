"""One's contacts: seeing, naming, removing, blocking them."""

from __future__ import annotations

from xinyu.contact.effects import EffectCarrier
from xinyu.contact.errors import BadMobile, BadRemark, NotAContact, OneselfRefused, UserUnknown
from xinyu.contact.pair import Link, Moment, decide_blocked, decide_delete
from xinyu.contact.port import ContactPort
from xinyu.contact.store import PairStore
from xinyu.contact.types import REMARK_LENGTH, Contact, ContactDetail, Relation
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Unavailable, XinyuError
from xinyu.kernel.ids import UserId, new_hex_id
from xinyu.message.port import ConversationPort, MessagePort
from xinyu.message.types import private_ref
from xinyu.presence.port import PresencePort
from xinyu.presence.types import OnlineUser
from xinyu.telemetry.logs import get_logger
from xinyu.user.port import ProfilePort
from xinyu.user.types import Profile

log = get_logger(__name__)

MOBILE_LENGTH = 32


class ContactService(ContactPort):
    """Contacts."""

    def __init__(
        self,
        store: PairStore,
        effects: EffectCarrier,
        profiles: ProfilePort,
        presence: PresencePort,
        messages: MessagePort,
        conversations: ConversationPort,
        clock: Clock,
    ) -> None:
        self._store = store
        self._effects = effects
        self._profiles = profiles
        self._presence = presence
        self._messages = messages
        self._conversations = conversations
        self._clock = clock

    async def get_detail(self, user_id: UserId, target_id: UserId) -> ContactDetail:
        return await self._detail(user_id, await self._profile(target_id))

    async def search(self, user_id: UserId, mobile: str) -> ContactDetail:
        mobile = mobile.strip()
        if not mobile or len(mobile) > MOBILE_LENGTH:
            raise BadMobile()
        profile = await self._profiles.find_by_mobile(mobile)
        if profile is None or profile.disabled:
            raise UserUnknown()
        return await self._detail(user_id, profile, mobile=profile.mobile)

    async def list_contacts(self, owner_id: UserId) -> list[Contact]:
        return await self._store.list_contacts(owner_id)

    async def list_remarks(self, owner_id: UserId, user_ids: list[UserId]) -> list[tuple[UserId, str]]:
        return await self._store.list_remarks(owner_id, user_ids)

    async def edit_remark(self, owner_id: UserId, contact_id: UserId, remark: str) -> None:
        if not await self._store.set_remark(owner_id, contact_id, checked_remark(remark, REMARK_LENGTH)):
            raise NotAContact()

    async def delete(self, owner_id: UserId, contact_id: UserId) -> None:
        if owner_id == contact_id:
            raise NotAContact()
        at = self._moment()
        outcome = await self._store.change_pair(owner_id, contact_id, lambda state: decide_delete(state, at))
        await self._carry_out(outcome.effect_id)
        await self._forget_conversation(owner_id, contact_id)

    async def set_blocked(self, owner_id: UserId, other_id: UserId, blocked: bool) -> None:
        if owner_id == other_id:
            raise OneselfRefused()
        await self._profile(other_id)
        at = self._moment()
        outcome = await self._store.change_pair(owner_id, other_id, lambda state: decide_blocked(state, at, blocked))
        await self._carry_out(outcome.effect_id)

    async def is_online(self, user_id: UserId, target_id: UserId) -> bool:
        await self._profile(target_id)
        _, theirs = await self._store.read_pair(user_id, target_id)
        return await self._online(theirs)

    async def list_online(self, user_id: UserId, user_ids: list[UserId]) -> list[OnlineUser]:
        online = await self._presence.list_online(user_ids) if user_ids else []
        blockers = await self._store.list_blockers(user_id, [user.user_id for user in online])
        return [user for user in online if user.user_id not in blockers]

    def _moment(self) -> Moment:
        return Moment(self._clock.now_ms(), new_hex_id())

    async def _carry_out(self, effect_id: str) -> None:
        if effect_id:
            await self._effects.carry_out(effect_id)

    async def _forget_conversation(self, owner_id: UserId, contact_id: UserId) -> None:
        """Clear and hide it. The contact is gone already, so a failure here is not the caller's; repeating the removal
        tries again."""
        ref = private_ref(contact_id)
        try:
            await self._messages.clear(owner_id, ref)
            await self._conversations.hide(owner_id, ref)
        except XinyuError as error:
            log.warning("a removed contact's conversation stays listed", uid=owner_id, error=error.code)

    async def _profile(self, user_id: UserId) -> Profile:
        profiles = await self._profiles.list_profiles([user_id])
        if not profiles:
            raise UserUnknown()
        return profiles[0]

    async def _online(self, link: Link) -> bool:
        """Whether the link's owner is connected, as far as the other may know."""
        if link.blocked:
            return False
        try:
            return bool(await self._presence.list_online([link.owner_id]))
        except Unavailable:
            return False  # better a detail without it than none

    async def _detail(self, user_id: UserId, profile: Profile, mobile: str = "") -> ContactDetail:
        if profile.user_id == user_id:
            mine, theirs = Link(user_id, user_id), Link(user_id, user_id)
            relation = Relation.SELF
        else:
            mine, theirs = await self._store.read_pair(user_id, profile.user_id)
            relation = Relation.FRIEND if mine.friend else Relation.STRANGER
        is_known = relation is Relation.SELF or (mine.friend and theirs.accepts)
        return ContactDetail(
            user_id=profile.user_id,
            nickname=profile.nickname,
            avatar=profile.avatar,
            motto=profile.motto,
            gender=int(profile.gender),
            mobile=profile.mobile if is_known else mobile,
            email=profile.email if is_known else "",
            relation=relation,
            remark=mine.remark,
            group_id=mine.group_id,
            blocked=mine.blocked,
            online=await self._online(theirs),
        )


def checked_remark(remark: str, length: int) -> str:
    """`remark` without spaces around it. Raises BadRemark when it is longer than `length` characters."""
    remark = remark.strip()
    if len(remark) > length:
        raise BadRemark(at_most=length)
    return remark
