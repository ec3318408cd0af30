"""The rules of a pair of users, pure: what is known of both goes in, what changes comes out.

The store runs these under the lock of both rows of the pair (`PairStore.change_pair`), perhaps twice after a deadlock.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import msgspec
from msgspec.structs import replace

from xinyu.contact.effects import acceptance_effect, accepting_effect, application_effect
from xinyu.contact.errors import (
    AlreadyContacts,
    ApplicationHandled,
    ApplicationNotFound,
    NotAContact,
    TargetBlocked,
)
from xinyu.contact.types import NO_GROUP, ApplicationId, ContactGroupId
from xinyu.kernel.ids import UserId
from xinyu.message.types import Effect, MemberChange


class Link(msgspec.Struct, frozen=True):
    """What `other_id` is to `owner_id`. A pair that never had to do with one another has empty links."""

    owner_id: UserId
    other_id: UserId
    friend: bool = False
    blocked: bool = False
    remark: str = ""
    group_id: ContactGroupId = NO_GROUP
    version: int = 0
    """Counts up whenever `accepts` may have changed; the version of the owner's membership in the conversation."""
    since_ms: int = 0
    effect_id: str = ""
    """The last effect that this link had."""

    @property
    def accepts(self) -> bool:
        """Whether the owner accepts messages from the other."""
        return self.friend and not self.blocked

    @property
    def member(self) -> MemberChange:
        """The owner as a member of the conversation."""
        return MemberChange(self.owner_id, self.version, active=True, accepts=self.accepts)


class ApplicationState(IntEnum):
    """What became of an application."""

    PENDING = 1
    ACCEPTED = 2
    DECLINED = 3
    WITHDRAWN = 4


class ApplicationRecord(msgspec.Struct, frozen=True):
    """An application as it is kept; `application_id` 0 is one that is not stored yet."""

    application_id: ApplicationId
    applicant_id: UserId
    target_id: UserId
    remark: str
    created_ms: int
    state: ApplicationState = ApplicationState.PENDING
    reply: str = ""
    notified_ms: int = 0
    handled_ms: int = 0
    effect_id: str = ""
    """The last notice to the target."""


class PairState(msgspec.Struct, frozen=True):
    """What is known of a pair, as one of the two sees it."""

    mine: Link
    theirs: Link
    sent: ApplicationRecord | None = None
    """My pending application to the other."""
    asked: ApplicationRecord | None = None
    """The application, in whatever state, that the change is about."""


class PairChange(msgspec.Struct, frozen=True):
    """What shall be written, in one transaction."""

    links: tuple[Link, ...] = ()
    applications: tuple[ApplicationRecord, ...] = ()
    """Changed ones, and at most one new one."""
    effect: Callable[[ApplicationId], Effect] | None = None
    """Makes the effect, given the id of the new application (0 without one)."""
    await_effect_id: str = ""
    """Without an effect: the earlier one that this change relies on."""


Decide = Callable[[PairState], PairChange]


class Moment(msgspec.Struct, frozen=True):
    """When a change happens, and the id of its effect if it has one."""

    now_ms: int
    effect_id: str


def decide_apply(state: PairState, at: Moment, remark: str, notify_again_ms: int) -> PairChange:
    """I ask to become a contact. Raises AlreadyContacts, TargetBlocked."""
    if state.mine.friend and state.theirs.friend:
        raise AlreadyContacts()
    if state.mine.blocked:
        raise TargetBlocked()
    me, target = state.mine.owner_id, state.theirs.owner_id
    application = state.sent or ApplicationRecord(ApplicationId(0), me, target, remark, at.now_ms)
    application = replace(application, remark=remark)
    told = application.notified_ms > 0 and at.now_ms - application.notified_ms < notify_again_ms
    if state.theirs.blocked:
        return PairChange(applications=(application,))
    if told:
        return PairChange(applications=(application,), await_effect_id=application.effect_id)
    application = replace(application, notified_ms=at.now_ms, effect_id=at.effect_id)

    def effect(new_id: ApplicationId) -> Effect:
        application_id = application.application_id or new_id
        return application_effect(at.effect_id, application_id, me, target, remark, at.now_ms)

    return PairChange(applications=(application,), effect=effect)


def decide_accept(state: PairState, at: Moment, remark: str, greeting: str) -> PairChange:
    """I take the other's application. Raises ApplicationNotFound, ApplicationHandled."""
    asked = _asked_of_me(state)
    if asked.state is ApplicationState.ACCEPTED:
        return PairChange(await_effect_id=state.mine.effect_id)
    if asked.state is not ApplicationState.PENDING:
        raise ApplicationHandled()
    mine = _befriended(state.mine, at)
    mine = replace(mine, remark=remark or mine.remark)
    theirs = _befriended(state.theirs, at)
    closed = [asked] if state.sent is None else [asked, state.sent]
    return PairChange(
        links=(mine, theirs),
        applications=tuple(
            replace(application, state=ApplicationState.ACCEPTED, handled_ms=at.now_ms) for application in closed
        ),
        effect=lambda _: acceptance_effect(at.effect_id, mine.member, theirs.member, greeting, at.now_ms),
    )


def decide_decline(state: PairState, at: Moment, reply: str) -> PairChange:
    """I refuse the other's application. Raises ApplicationNotFound, ApplicationHandled."""
    asked = _asked_of_me(state)
    if asked.state is ApplicationState.DECLINED:
        return PairChange()
    if asked.state is not ApplicationState.PENDING:
        raise ApplicationHandled()
    declined = replace(asked, state=ApplicationState.DECLINED, reply=reply, handled_ms=at.now_ms)
    return PairChange(applications=(declined,))


def decide_delete(state: PairState, at: Moment) -> PairChange:
    """The other is no contact of mine any more. Raises NotAContact for who never was one."""
    mine = state.mine
    if not mine.friend:
        if mine.version == 0:
            raise NotAContact()
        return PairChange(await_effect_id=mine.effect_id)
    return _changed(mine, replace(mine, friend=False, remark="", group_id=NO_GROUP, since_ms=0), at)


def decide_blocked(state: PairState, at: Moment, blocked: bool) -> PairChange:
    """I block the other, or do no more; my own pending application to whom I block is withdrawn."""
    if state.mine.blocked == blocked:
        return PairChange(await_effect_id=state.mine.effect_id)
    change = _changed(state.mine, replace(state.mine, blocked=blocked), at)
    if not blocked or state.sent is None:
        return change
    withdrawn = replace(state.sent, state=ApplicationState.WITHDRAWN, handled_ms=at.now_ms)
    return replace(change, applications=(withdrawn,))


def _asked_of_me(state: PairState) -> ApplicationRecord:
    asked = state.asked
    if asked is None or asked.target_id != state.mine.owner_id:
        raise ApplicationNotFound()
    if state.mine.blocked and asked.state is ApplicationState.PENDING:
        raise ApplicationNotFound()  # I never saw it
    return asked


def _befriended(link: Link, at: Moment) -> Link:
    since_ms = link.since_ms if link.friend else at.now_ms
    return replace(link, friend=True, since_ms=since_ms, version=link.version + 1, effect_id=at.effect_id)


def _changed(before: Link, after: Link, at: Moment) -> PairChange:
    """The change of my link alone, with an effect where it decides about messages."""
    if after.accepts == before.accepts:
        return PairChange(links=(after,), await_effect_id=before.effect_id)
    after = replace(after, version=before.version + 1, effect_id=at.effect_id)
    return PairChange(links=(after,), effect=lambda _: accepting_effect(at.effect_id, after.member, after.other_id))
