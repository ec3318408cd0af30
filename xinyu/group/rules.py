"""Who may do what to a group, and what it changes: decisions free of I/O, made on a locked snapshot.

Each function checks the acting user first and returns the change, empty where all is as wished already.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from xinyu.group.effects import Act, effect_on, event_of, listed_notice
from xinyu.group.errors import (
    BadText,
    GroupFull,
    GroupNotFound,
    NotAMember,
    NothingToLeave,
    OwnerCannotLeave,
    PermissionDenied,
    TargetNotAMember,
)
from xinyu.group.store import Answer, Change, Snapshot
from xinyu.group.types import ApplicationStatus, Member
from xinyu.kernel.ids import UserId
from xinyu.message.types import EffectEvent, EntryType, Role

NAME_CHARS = 64
URL_CHARS = 255
PROFILE_CHARS = 255
REMARK_CHARS = 128


def checked_text(text: str, limit: int, required: bool = False) -> str:
    """`text` without surrounding space. Raises BadText when it is too long, or empty though required."""
    text = text.strip()
    if len(text) > limit or (required and not text):
        raise BadText()
    return text


def caller(snapshot: Snapshot, user_id: UserId, at_least: Role = Role.MEMBER) -> Member:
    """The acting user's membership. Raises GroupNotFound (dismissed), NotAMember, PermissionDenied."""
    if snapshot.group.dismissed_ms:
        raise GroupNotFound()
    me = snapshot.members.get(user_id)
    if me is None or not me.active:
        raise NotAMember()
    if me.role < at_least:
        raise PermissionDenied()
    return me


def target(snapshot: Snapshot, user_id: UserId) -> Member:
    """Another user's membership. Raises TargetNotAMember."""
    member = snapshot.members.get(user_id)
    if member is None or not member.active:
        raise TargetNotAMember()
    return member


def dismiss(snapshot: Snapshot, act: Act) -> Change:
    """The owner ends the group. Once more by the owner changes nothing."""
    group = snapshot.group
    if group.dismissed_ms and group.owner_id == act.user_id:
        return Change()
    caller(snapshot, act.user_id, Role.OWNER)
    ended = replace(group, dismissed_ms=act.now_ms, version=group.version + 1)
    event = event_of(EntryType.GROUP_DISMISSED, act.operator())
    return Change(ended, effect=effect_on(group.group_id, act, state=ended, event=event))


def update(snapshot: Snapshot, act: Act, name: str, avatar: str, profile: str) -> Change:
    """Owner or an admin changes what is not empty. The conversation itself is not concerned."""
    caller(snapshot, act.user_id, Role.ADMIN)
    group = snapshot.group
    return Change(
        replace(
            group,
            name=name or group.name,
            avatar=avatar or group.avatar,
            profile=profile or group.profile,
        )
    )


def set_mute_all(snapshot: Snapshot, act: Act, muted: bool) -> Change:
    """Owner or an admin silences everybody below, or lets them speak."""
    caller(snapshot, act.user_id, Role.ADMIN)
    group = snapshot.group
    if group.mute_all == muted:
        return Change()
    changed = replace(group, mute_all=muted, version=group.version + 1)
    event = event_of(EntryType.GROUP_MUTED if muted else EntryType.GROUP_UNMUTED, act.operator())
    return Change(changed, effect=effect_on(group.group_id, act, state=changed, event=event))


def hand_over(snapshot: Snapshot, act: Act, new_owner_id: UserId) -> Change:
    """The owner makes a member the owner, free to speak, and becomes a plain member."""
    me = caller(snapshot, act.user_id, Role.OWNER)
    heir = target(snapshot, new_owner_id)
    if heir.user_id == me.user_id:
        return Change()
    group = snapshot.group
    members = (
        replace(me, role=Role.MEMBER, version=me.version + 1),
        replace(heir, role=Role.OWNER, muted_until_ms=0, version=heir.version + 1),
    )
    content = {
        "old_owner_id": me.user_id,
        "old_owner_name": act.names.get(me.user_id, ""),
        "new_owner_id": heir.user_id,
        "new_owner_name": act.names.get(heir.user_id, ""),
    }
    effect = effect_on(group.group_id, act, members, event=event_of(EntryType.OWNER_CHANGED, content))
    return Change(replace(group, owner_id=heir.user_id), members, effect=effect)


def invite(snapshot: Snapshot, act: Act, user_ids: Collection[UserId]) -> Change:
    """A member brings others in."""
    caller(snapshot, act.user_id)
    return joining(snapshot, act, user_ids)


def joining(snapshot: Snapshot, act: Act, user_ids: Collection[UserId]) -> Change:
    """These users become plain members; those who are members already stay as they are. Raises GroupFull."""
    group = snapshot.group
    members = []
    for user_id in sorted(set(user_ids)):
        former = snapshot.members.get(user_id)
        if former is None or not former.active:
            members.append(new_member(user_id, act.now_ms, former))
    if not members:
        return Change()
    if group.member_count + len(members) > group.max_members:
        raise GroupFull()
    joined = [member.user_id for member in members]
    return Change(
        replace(group, member_count=group.member_count + len(members)),
        members,
        answer=Answer(joined, ApplicationStatus.ACCEPTED, act.user_id),
        effect=effect_on(
            group.group_id,
            act,
            members,
            event=event_of(EntryType.MEMBERS_JOINED, act.with_members(joined)),
            notices=[listed_notice(group.group_id, user_id) for user_id in joined],
        ),
    )


def new_member(user_id: UserId, now_ms: int, former: Member | None = None, role: Role = Role.MEMBER) -> Member:
    """A membership that begins now; nothing of a former one lasts but its version."""
    return Member(
        user_id=user_id,
        role=role,
        card="",
        muted_until_ms=0,
        joined_ms=now_ms,
        left_ms=0,
        version=former.version + 1 if former else 1,
    )


def remove(snapshot: Snapshot, act: Act, user_ids: Collection[UserId]) -> Change:
    """Owner or an admin removes members of a lower role, all of them or none."""
    me = caller(snapshot, act.user_id, Role.ADMIN)
    found = (snapshot.members.get(user_id) for user_id in sorted(set(user_ids)))
    members = [member for member in found if member is not None and member.active]
    if any(member.role >= me.role for member in members):
        raise PermissionDenied()
    names = act.with_members(member.user_id for member in members)
    return _leaving(snapshot, act, members, event_of(EntryType.MEMBERS_REMOVED, names))


def leave(snapshot: Snapshot, act: Act) -> Change:
    """A member leaves; the owner cannot."""
    me = snapshot.members.get(act.user_id)
    if me is None or not me.active:
        raise NothingToLeave()
    if caller(snapshot, act.user_id).role is Role.OWNER:
        raise OwnerCannotLeave()
    return _leaving(snapshot, act, [me], event_of(EntryType.MEMBER_LEFT, act.operator()))


def _leaving(snapshot: Snapshot, act: Act, members: Sequence[Member], event: EffectEvent) -> Change:
    if not members:
        return Change()
    group = snapshot.group
    gone = [
        replace(member, role=Role.MEMBER, muted_until_ms=0, left_ms=act.now_ms, version=member.version + 1)
        for member in members
    ]
    return Change(
        replace(group, member_count=group.member_count - len(gone)),
        gone,
        effect=effect_on(group.group_id, act, gone, event=event),
    )


def set_admin(snapshot: Snapshot, act: Act, user_id: UserId, admin: bool) -> Change:
    """The owner makes a member an admin, or a plain member again. No event tells of it."""
    caller(snapshot, act.user_id, Role.OWNER)
    member = target(snapshot, user_id)
    if member.role is Role.OWNER:
        raise PermissionDenied()
    role = Role.ADMIN if admin else Role.MEMBER
    if member.role is role:
        return Change()
    changed = replace(member, role=role, version=member.version + 1)
    return Change(members=[changed], effect=effect_on(snapshot.group.group_id, act, [changed]))


def set_muted_until(snapshot: Snapshot, act: Act, user_id: UserId, until_ms: int) -> Change:
    """Owner or an admin silences a member of a lower role, or lets him speak. A time that is over is no mute."""
    me = caller(snapshot, act.user_id, Role.ADMIN)
    member = target(snapshot, user_id)
    if member.role >= me.role:
        raise PermissionDenied()
    wanted = until_ms if until_ms > act.now_ms else 0
    current = member.muted_until_ms if member.is_muted(act.now_ms) else 0
    if wanted == current:
        return Change()
    changed = replace(member, muted_until_ms=wanted, version=member.version + 1)
    event = event_of(
        EntryType.MEMBERS_MUTED if wanted else EntryType.MEMBERS_UNMUTED,
        act.with_members([user_id]),
    )
    return Change(members=[changed], effect=effect_on(snapshot.group.group_id, act, [changed], event=event))


def set_card(snapshot: Snapshot, act: Act, card: str) -> Change:
    """A member chooses his own name in this group. The conversation itself is not concerned."""
    me = caller(snapshot, act.user_id)
    return Change(members=[replace(me, card=card)])
