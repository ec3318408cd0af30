"""Contacts as the contract shows them (CONTRACT.md section 1.3; `is_block`: 1 = yes, 2 = no, is xinyu's own)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo

from xinyu.contact.types import Application, Contact, ContactDetail, ContactGroup
from xinyu.gateway.present.times import local_time
from xinyu.kernel.ids import UserId
from xinyu.user.types import Profile

Json = dict[str, object]


def contacts_json(contacts: Iterable[Contact], profiles: Mapping[UserId, Profile]) -> Json:
    """The caller's contacts; those whose account is gone are left out."""
    return {
        "items": [
            _contact_item(contact, profiles[contact.user_id]) for contact in contacts if contact.user_id in profiles
        ]
    }


def detail_json(detail: ContactDetail) -> Json:
    """A user as the caller may see him."""
    return {
        **found_json(detail),
        "email": detail.email,
        "relation": int(detail.relation),
        "contact_remark": detail.remark,
        "contact_group_id": detail.group_id,
        "is_block": 1 if detail.blocked else 2,
        **online_json(detail.online),
    }


def found_json(detail: ContactDetail) -> Json:
    """What a search finds."""
    return {
        "user_id": detail.user_id,
        "mobile": detail.mobile,
        "nickname": detail.nickname,
        "avatar": detail.avatar,
        "gender": detail.gender,
        "motto": detail.motto,
    }


def online_json(online: bool) -> Json:
    """Whether somebody is connected."""
    return {"online_status": "Y" if online else "N"}


def applications_json(applications: Iterable[Application], profiles: Mapping[UserId, Profile], zone: tzinfo) -> Json:
    """Applications that wait for the caller, with the applicants' names; `friend_id` is the caller."""
    return {
        "items": [
            {
                "id": application.application_id,
                "user_id": application.applicant_id,
                "friend_id": application.target_id,
                "remark": application.remark,
                "nickname": profiles[application.applicant_id].nickname,
                "avatar": profiles[application.applicant_id].avatar,
                "created_at": local_time(application.created_ms, zone),
            }
            for application in applications
            if application.applicant_id in profiles
        ]
    }


def contact_groups_json(groups: Iterable[ContactGroup]) -> Json:
    """The caller's groups of contacts."""
    return {
        "items": [
            {"id": group.group_id, "name": group.name, "sort": group.sort, "count": group.count} for group in groups
        ]
    }


def _contact_item(contact: Contact, profile: Profile) -> Json:
    return {
        "user_id": contact.user_id,
        "nickname": profile.nickname,
        "gender": int(profile.gender),
        "motto": profile.motto,
        "avatar": profile.avatar,
        "remark": contact.remark,
        "group_id": contact.group_id,
        "is_block": 1 if contact.blocked else 2,
    }
