"""Who may do what (G11), as a table: every route and event → what each kind of caller gets.

An outcome is `200`, `none` (200 as well, but nothing changed and nothing is shown), or the status and the error code
of a refusal. What a kind of caller may never read, `access_scene` knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testkit.access_scene import INSIDE, KINDS, LOCKED_OUT, OUTSIDE, Scene
from testkit.requests import OPEN_ROUTES, ROUTES

Outcomes = dict[str, str]
Body = Callable[[Scene, str], dict[str, Any]]
OK, NONE, LOST = "200", "none", "401 auth.unauthenticated"

NOT_IN_GROUP = "403 group.not_a_member"
DENIED = "403 group.permission_denied"
NOT_IN_TALK = "403 message.not_a_member"
NO_MESSAGE = "404 message.not_found"
NOT_YOURS = "403 message.not_yours"
NO_CONTACT = "404 contact.not_a_contact"
NO_FOLDER = "404 contact.no_group"
NO_UPLOAD = "404 media.no_upload"


def everyone(outcome: str = OK, **others: str) -> Outcomes:
    """About the caller himself, or about what anybody may."""
    return {**dict.fromkeys(KINDS, outcome), **others}


def owner(others: str, **some: str) -> Outcomes:
    """About something of the owner's."""
    return everyone(others, owner=OK, **some)


def members(outside: str = NOT_IN_GROUP, **some: str) -> Outcomes:
    """For all who are in the group."""
    return {**dict.fromkeys(INSIDE, OK), **dict.fromkeys(OUTSIDE, outside), **some}


def managers(**some: str) -> Outcomes:
    """For the owner of the group and its admins."""
    return members(member=DENIED, **some)


def group_owner() -> Outcomes:
    """For the owner of the group alone."""
    return managers(admin=DENIED)


@dataclass(frozen=True)
class Row:
    """One way to use a route or event."""

    name: str
    """As in ROUTES without /api/v1/, or as in EVENTS."""
    outcomes: Outcomes
    body: Body = lambda scene, kind: {}
    how: str = ""
    """Which way, where there are several."""
    form: Callable[[Scene], tuple[dict[str, str], bytes]] | None = None
    """Fields and file of a form."""
    get: bool = False
    """Asked by GET; `body` is the query."""
    needs_token: bool = True
    given: str = ""
    """A secret that the caller knows already, for it is what he asks with: an attribute of the scene."""

    def __str__(self) -> str:
        return f"{self.name} {self.how}".strip()


def _group(**more: Any) -> Body:
    return lambda scene, kind: {"group_id": scene.group_id, **more}


def _in_group(**more: Any) -> Body:
    return lambda scene, kind: {"talk_mode": 2, "to_from_id": scene.group_id, **more}


def _to_friend(**more: Any) -> Body:
    return lambda scene, kind: {"talk_mode": 1, "to_from_id": scene.friend, **more}


def _on(**names: str) -> Body:
    """Fields whose values are attributes of the scene."""
    return lambda scene, kind: {field: getattr(scene, name) for field, name in names.items()}


def _both(one: Body, other: Body) -> Body:
    return lambda scene, kind: {**one(scene, kind), **other(scene, kind)}


def _as_usual(name: str) -> Body:
    return lambda scene, kind: ROUTES[name]


def _of_nobody(name: str) -> Body:
    """With a number and address that nobody has, and another one for each kind of caller."""

    def body(scene: Scene, kind: str) -> dict[str, Any]:
        known = OPEN_ROUTES[name]
        fresh = {"mobile": f"1310000000{(*KINDS, *LOCKED_OUT).index(kind)}", "email": f"{kind}@example.org"}
        return {field: fresh.get(field, value) for field, value in known.items()}

    return body


TEXT = {"type": "text", "body": {"text": "hello"}}


def _sending(name: str) -> list[Row]:
    """REST and socket have the same requests."""

    def file(scene: Scene, kind: str) -> dict[str, Any]:
        return {**_in_group(type="file")(scene, kind), "body": {"upload_id": scene.file_upload}}

    def emoticon(scene: Scene, kind: str) -> dict[str, Any]:
        return {**_in_group(type="emoticon")(scene, kind), "body": {"emoticon_id": scene.emoticon}}

    def forward(scene: Scene, kind: str) -> dict[str, Any]:
        return {**_in_group(type="forward")(scene, kind), "body": {"action": 1, "msg_ids": [scene.private_msg]}}

    def repeated(scene: Scene, kind: str) -> dict[str, Any]:
        return {**_in_group(**TEXT)(scene, kind), "msg_id": scene.group_msg}

    def to_owner(scene: Scene, kind: str) -> dict[str, Any]:
        return {"talk_mode": 1, "to_from_id": scene.people["owner"], **TEXT}

    return [
        Row(name, members(NOT_IN_TALK), _in_group(**TEXT), "to a group"),
        Row(name, owner(NONE), _to_friend(**TEXT), "to somebody's contact"),
        Row(name, everyone(NONE, admin=OK, member=OK, owner="403 message.not_a_member"), to_owner, "to the owner"),
        Row(
            name,
            everyone("400 message.bad_quote"),
            _both(_in_group(**TEXT), _on(quote_id="private_msg")),
            "quoting another conversation",
        ),
        Row(name, owner(NO_MESSAGE), forward, "forwarding from another conversation"),
        Row(name, owner("400 message.bad_content"), file, "a file of the owner's"),
        Row(name, owner("404 media.no_emoticon"), emoticon, "an emoticon of the owner's"),
        Row(name, everyone("409 message.id_conflict"), repeated, "with another message's id"),
    ]  # fmt: skip


def _reading(*names: str) -> list[Row]:
    rows = []
    for name in names:
        rows.append(Row(name, everyone(), _in_group(after=0) if "." in name else _in_group(), "of a group"))
        rows.append(Row(name, owner(NONE), _to_friend(), "of a private conversation"))
    return rows


def _views(*names: str) -> list[Row]:
    """What is done to one's own line of the conversation list."""
    rows = []
    for name in names:
        more = {"seq": 1} if "." in name else {"action": 1}
        rows.append(Row(name, members(NOT_IN_TALK, ex_member=OK), _in_group(**more), "of a group"))
        rows.append(Row(name, owner(NOT_IN_TALK), _to_friend(**more), "of a private conversation"))
    return rows


def _recalling(name: str) -> list[Row]:
    return [
        Row(name, owner(NOT_YOURS, **dict.fromkeys(OUTSIDE, NO_MESSAGE)),
            _both(_in_group(), _on(msg_id="group_msg")), "in a group"),
        Row(name, owner(NO_MESSAGE), _both(_to_friend(), _on(msg_id="private_msg")), "in a private conversation"),
    ]  # fmt: skip


def _typing(name: str) -> list[Row]:
    return [
        Row(name, owner(NOT_IN_TALK), _to_friend(), "to somebody's contact"),
        Row(name, everyone() if name.startswith("im.") else members(NOT_IN_TALK), _in_group(), "in a group"),
    ]


def _sync(scene: Scene, kind: str) -> dict[str, Any]:
    return {"cursors": {str(scene.group_talk): 0, str(scene.private_talk): 0}}


ROUTE_ROWS = [
    *(Row(name, everyone(), _as_usual(name)) for name in ("user/detail", "user/setting", "user/setting/save")),
    Row("user/detail-update", everyone(), lambda scene, kind: {"nickname": kind}),
    Row("user/email-update", everyone("400 user.wrong_code"), _as_usual("user/email-update")),
    Row("user/mobile-update", everyone("400 user.wrong_code"), _as_usual("user/mobile-update")),
    Row("user/password-update", everyone("403 user.wrong_old_password"), _as_usual("user/password-update")),
    Row("contact/list", everyone()),
    Row("contact/detail", everyone(), _on(user_id="friend")),
    Row("contact/search", everyone(), _on(mobile="mobile"), given="mobile"),
    Row("contact/online-status", everyone(), _on(user_id="friend")),
    Row("contact/edit-remark", owner(NO_CONTACT), _on(user_id="friend", remark="remark")),
    Row("contact/delete", owner(NO_CONTACT), _on(user_id="friend")),
    Row("contact/block", everyone(), lambda scene, kind: {"user_id": scene.applicant, "action": 1}),
    Row("contact/change-group", owner(NO_CONTACT), lambda scene, kind: {"user_id": scene.friend, "group_id": 0}),
    Row("contact/change-group", owner(NO_FOLDER),
        lambda scene, kind: {"user_id": scene.contact_of(kind), "group_id": scene.folder}, "to the owner's group"),
    Row("contact-apply/create", everyone(), _on(user_id="applicant")),
    Row("contact-apply/accept", owner("404 contact.no_application"), _on(apply_id="contact_application")),
    Row("contact-apply/decline", owner("404 contact.no_application"), _on(apply_id="contact_application")),
    Row("contact-apply/list", everyone()),
    Row("contact-apply/unread-num", everyone()),
    Row("contact-group/list", everyone()),
    Row("contact-group/save", owner(NO_FOLDER),
        lambda scene, kind: {"items": [{"id": scene.folder, "sort": 1, "name": "mine"}]}),
    Row("talk/session-list", everyone()),
    *_views("talk/session-delete", "talk/session-top", "talk/session-disturb", "talk/session-clear-unread-num",
            "talk/session-clear-records"),
    Row("talk/session-create", members(NOT_IN_TALK), _in_group(), "of a group"),
    Row("talk/session-create", everyone(), _to_friend(), "of a private conversation"),
    Row("talk/file-download", members("404 media.not_found"), _on(msg_id="file_msg"), get=True),
    *_sending("message/send"),
    *_reading("message/records", "message/history-records"),
    Row("message/forward-records", everyone(),
        lambda scene, kind: {"talk_mode": 2, "msg_ids": [scene.old_msg, scene.group_msg, scene.private_msg]}),
    *_recalling("message/revoke"),
    Row("message/delete", members(NOT_IN_TALK, ex_member=NONE), lambda scene, kind:
        {"talk_mode": 2, "to_from_id": scene.group_id, "msg_ids": [scene.group_msg]}),
    Row("message/status", owner(NOT_YOURS, **dict.fromkeys(OUTSIDE, NONE)),
        _both(_in_group(status=1), _on(msg_id="group_msg"))),
    Row("message/sync", everyone(), _sync),
    Row("group/list", everyone()),
    Row("group/create", everyone(), lambda scene, kind: {"name": f"of {kind}", "user_ids": [scene.friend]}),
    Row("group/detail", members(), _group()),
    Row("group/member-list", members(), _group()),
    Row("group/get-invite-friends", members(), _group()),
    Row("group/setting", managers(), _group(group_name="New")),
    Row("group/invite", members(), _both(_group(), lambda scene, kind: {"user_ids": [scene.friend]})),
    Row("group/remove-member", managers(), _both(_group(), lambda scene, kind: {"user_ids": [scene.other]})),
    Row("group/secede", members("404 group.nothing_to_leave", owner="400 group.owner_cannot_leave"), _group()),
    Row("group/dismiss", group_owner(), _group()),
    Row("group/handover", group_owner(), _both(_group(), _on(user_id="other"))),
    Row("group/assign-admin", group_owner(), _both(_group(action=1), _on(user_id="other"))),
    Row("group/no-speak", managers(), _both(_group(action=1), _on(user_id="other"))),
    Row("group/mute", managers(), _group(action=1)),
    Row("group/remark-update", members(), _group(remark="card")),
    Row("group-apply/unread-num", everyone()),
    Row("group-apply/create", members(OK, **dict.fromkeys(INSIDE, "400 group.already_a_member")), _group()),
    Row("group-apply/agree", managers(), _on(apply_id="group_application")),
    Row("group-apply/decline", managers(), _on(apply_id="group_application")),
    Row("group-apply/list", managers(), _group()),
    Row("group-apply/all", everyone()),
    Row("emoticon/customize/list", everyone()),
    Row("emoticon/customize/create", everyone(), _on(url="image_url"), given="image_url"),
    Row("emoticon/customize/delete", owner(NONE), _on(emoticon_id="emoticon")),
    Row("emoticon/customize/upload", everyone(), form=lambda scene: ({}, scene.image)),
    Row("upload/media-file", everyone(), form=lambda scene: ({}, scene.image)),
    Row("upload/init-multipart", everyone(), lambda scene, kind: {"file_name": "f", "file_size": 10}, "anew"),
    Row("upload/init-multipart", owner(NO_UPLOAD), lambda scene, kind:
        {"file_size": 10, "upload_id": scene.open_upload}, "somebody's"),
    Row("upload/multipart", owner(NO_UPLOAD), form=lambda scene:
        ({"upload_id": scene.open_upload, "split_index": "1", "split_num": "1"}, b"0123456789")),
    Row("/media/{path:path}", everyone(), get=True, needs_token=False, given="image_url"),
    Row("auth/logout", everyone(), how="of a log-in of its own"),
    Row("common/send-test", everyone(), needs_token=False),
    *(Row(name, everyone(outcome), _of_nobody(name), needs_token=False) for name, outcome in {
        "common/send-sms": "400 user.mobile_not_registered", "common/send-email": "400 user.email_not_registered",
        "common/verify-email": "400 user.wrong_code", "auth/login": "400 user.wrong_credentials",
        "auth/register": "400 user.wrong_code", "auth/forget": "400 user.wrong_code"}.items()),
]  # fmt: skip

EVENT_ROWS = [
    *_sending("message.send"),
    *_reading("message.history"),
    *_recalling("message.recall"),
    *_views("conversation.read"),
    *_typing("typing"),
    *_typing("im.message.keyboard"),
    Row("conversation.list", everyone()),
    Row("sync", everyone(), _sync),
    Row("presence.get", everyone(), lambda scene, kind: {"user_ids": [scene.friend]}),
]
