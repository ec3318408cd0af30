"""Applications to become a contact: asking, accepting, declining."""

from __future__ import annotations

from xinyu.contact.effects import EffectCarrier
from xinyu.contact.errors import (
    ApplicationNotFound,
    OneselfRefused,
    TooManyApplications,
    TooManyContacts,
    UserUnknown,
)
from xinyu.contact.pair import ApplicationRecord, ApplicationState, Moment, decide_accept, decide_apply, decide_decline
from xinyu.contact.port import ApplicationPort
from xinyu.contact.service import checked_remark
from xinyu.contact.settings import ContactSettings
from xinyu.contact.store import PairStore
from xinyu.contact.types import APPLICATION_REMARK_LENGTH, REMARK_LENGTH, Application, ApplicationId
from xinyu.kernel.clock import Clock
from xinyu.kernel.ids import UserId, new_hex_id
from xinyu.user.port import ProfilePort


class ApplicationService(ApplicationPort):
    """Applications."""

    def __init__(
        self, store: PairStore, effects: EffectCarrier, profiles: ProfilePort, clock: Clock, settings: ContactSettings
    ) -> None:
        self._store = store
        self._effects = effects
        self._profiles = profiles
        self._clock = clock
        self._settings = settings

    async def apply(self, applicant_id: UserId, target_id: UserId, remark: str) -> None:
        if applicant_id == target_id:
            raise OneselfRefused()
        remark = checked_remark(remark, APPLICATION_REMARK_LENGTH)
        profiles = await self._profiles.list_profiles([target_id])
        if not profiles or profiles[0].disabled:
            raise UserUnknown()
        if await self._store.count_sent(applicant_id) >= self._settings.max_pending_applications:
            raise TooManyApplications()
        at, again_ms = self._moment(), round(self._settings.notify_again_seconds * 1000)
        outcome = await self._store.change_pair(
            applicant_id, target_id, lambda state: decide_apply(state, at, remark, again_ms)
        )
        await self._carry_out(outcome.effect_id)

    async def accept(self, user_id: UserId, application_id: ApplicationId, remark: str) -> UserId:
        remark = checked_remark(remark, REMARK_LENGTH)
        application = await self._mine(user_id, application_id)
        applicant_id = application.applicant_id
        if (
            application.state is ApplicationState.PENDING
            and await self._store.count_contacts([user_id, applicant_id]) >= self._settings.max_contacts
        ):
            raise TooManyContacts()
        at, greeting = self._moment(), self._settings.greeting
        outcome = await self._store.change_pair(
            user_id, applicant_id, lambda state: decide_accept(state, at, remark, greeting), application_id
        )
        await self._carry_out(outcome.effect_id)
        return applicant_id

    async def decline(self, user_id: UserId, application_id: ApplicationId, remark: str) -> None:
        reply = checked_remark(remark, APPLICATION_REMARK_LENGTH)
        application = await self._mine(user_id, application_id)
        at = self._moment()
        await self._store.change_pair(
            user_id, application.applicant_id, lambda state: decide_decline(state, at, reply), application_id
        )

    async def list_pending(self, user_id: UserId) -> list[Application]:
        return await self._store.list_pending(user_id, self._settings.listed_applications)

    async def count_pending(self, user_id: UserId) -> int:
        return await self._store.count_pending(user_id)

    async def _mine(self, user_id: UserId, application_id: ApplicationId) -> ApplicationRecord:
        """An application to `user_id`; another's is as unknown as one that never was."""
        application = await self._store.find_application(application_id)
        if application is None or application.target_id != user_id:
            raise ApplicationNotFound()
        return application

    def _moment(self) -> Moment:
        return Moment(self._clock.now_ms(), new_hex_id())

    async def _carry_out(self, effect_id: str) -> None:
        if effect_id:
            await self._effects.carry_out(effect_id)
