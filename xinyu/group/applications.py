"""Applications to join a group."""

from __future__ import annotations

from xinyu.group import rules
from xinyu.group.changes import Changes
from xinyu.group.effects import Act
from xinyu.group.errors import (
    AlreadyAMember,
    ApplicationHandled,
    ApplicationNotFound,
    GroupNotFound,
    PermissionDenied,
)
from xinyu.group.port import GroupApplyPort
from xinyu.group.service import get_view
from xinyu.group.store import Answer, Change, GroupStore, NewApplication, Snapshot
from xinyu.group.types import Application, ApplicationStatus
from xinyu.kernel.ids import GroupId, UserId
from xinyu.message.types import Effect, EntryType, Role, SelfNotice

MOST_LISTED = 500


class GroupApplyService(GroupApplyPort):
    """Takes applications, shows them to owner and admins, lets them answer."""

    def __init__(self, store: GroupStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    async def apply(self, user_id: UserId, group_id: GroupId, remark: str) -> None:
        remark = rules.checked_text(remark, rules.REMARK_CHARS)
        await self._changes.run(
            self._changes.silent_act(user_id),
            group_id,
            lambda snapshot, act: applying(snapshot, act, remark),
            with_applications=True,
        )

    async def accept(self, user_id: UserId, application_id: int) -> None:
        application = await self._get(application_id)
        applicant = application.user_id
        act = await self._changes.act(user_id, [applicant], must_exist=True)
        await self._changes.run(
            act,
            application.group_id,
            lambda snapshot, act: accepting(snapshot, act, application),
            [applicant],
            with_applications=True,
        )

    async def decline(self, user_id: UserId, application_id: int, remark: str) -> None:
        remark = rules.checked_text(remark, rules.REMARK_CHARS)
        application = await self._get(application_id)
        await self._changes.run(
            self._changes.silent_act(user_id),
            application.group_id,
            lambda snapshot, act: declining(snapshot, act, application, remark),
            [application.user_id],
            with_applications=True,
        )

    async def list_pending(self, user_id: UserId, group_id: GroupId) -> list[Application]:
        view = await get_view(self._store, user_id, group_id)
        if not view.me.is_manager:
            raise PermissionDenied()
        return await self._store.list_pending(group_id, MOST_LISTED)

    async def list_all_pending(self, user_id: UserId) -> list[Application]:
        return await self._store.list_pending_for(user_id, MOST_LISTED)

    async def count_pending(self, user_id: UserId) -> int:
        return await self._store.count_pending_for(user_id)

    async def _get(self, application_id: int) -> Application:
        application = await self._store.find_application(application_id)
        if application is None:
            raise ApplicationNotFound()
        return application


def applying(snapshot: Snapshot, act: Act, remark: str) -> Change:
    """Anybody who is not in the group asks to join; owner and admins are told. A pending application stays as it is."""
    group = snapshot.group
    if group.dismissed_ms:
        raise GroupNotFound()
    me = snapshot.members.get(act.user_id)
    if me is not None and me.active:
        raise AlreadyAMember()
    last = snapshot.applications.get(act.user_id)
    if last is not None and last.status is ApplicationStatus.PENDING:
        return Change()
    content = {
        "group_id": group.group_id,
        "user_id": act.user_id,
        "remark": remark,
        "apply_time": act.now_ms,
    }
    managers = [member.user_id for member in snapshot.members.values() if member.is_manager]
    notices = [SelfNotice(user_id, int(EntryType.SELF_GROUP_APPLY), content) for user_id in sorted(managers)]
    return Change(application=NewApplication(act.user_id, remark), effect=Effect(act.effect_id, notices=notices))


def accepting(snapshot: Snapshot, act: Act, application: Application) -> Change:
    """Owner or an admin lets the applicant join. Accepted before: nothing changes, whatever happened since."""
    rules.caller(snapshot, act.user_id, Role.ADMIN)
    status = _status_now(snapshot, application)
    if status is ApplicationStatus.ACCEPTED:
        return Change()
    if status is not ApplicationStatus.PENDING:
        raise ApplicationHandled()
    return rules.joining(snapshot, act, [application.user_id])


def declining(snapshot: Snapshot, act: Act, application: Application, remark: str) -> Change:
    """Owner or an admin refuses. The conversation is not concerned. Declined before: nothing changes."""
    rules.caller(snapshot, act.user_id, Role.ADMIN)
    status = _status_now(snapshot, application)
    if status is ApplicationStatus.DECLINED:
        return Change()
    if status is not ApplicationStatus.PENDING:
        raise ApplicationHandled()
    return Change(answer=Answer([application.user_id], ApplicationStatus.DECLINED, act.user_id, remark))


def _status_now(snapshot: Snapshot, application: Application) -> ApplicationStatus:
    """What became of an application that was read before the lock. Only a user's newest one can still be pending, so
    an older one is as it was answered."""
    newest = snapshot.applications.get(application.user_id)
    if newest is not None and newest.application_id == application.application_id:
        return newest.status
    return application.status if application.status is not ApplicationStatus.PENDING else ApplicationStatus.DECLINED
