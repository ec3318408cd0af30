"""Every route and event with a body of the right form, for tests that bend them."""

from __future__ import annotations

from typing import Any

HEX = "ab" * 16
ROUTES: dict[str, dict[str, Any]] = {
    "user/detail": {},
    "user/detail-update": {"nickname": "Eve", "avatar": "", "motto": "", "gender": 1, "birthday": "2000-01-01"},
    "user/setting": {},
    "user/setting/save": {"theme_mode": "dark", "theme_color": "#fff", "notify_cue_tone": "Y"},
    "user/email-update": {"email": "eve@example.org", "password": "x", "code": "000000"},
    "user/mobile-update": {"mobile": "13100000002", "password": "x", "sms_code": "000000"},
    "user/password-update": {"old_password": "x", "new_password": "secret77"},
    "contact/list": {},
    "contact/detail": {"user_id": 1},
    "contact/search": {"mobile": "13100000003"},
    "contact/online-status": {"user_id": 1},
    "contact/edit-remark": {"user_id": 1, "remark": "r"},
    "contact/change-group": {"user_id": 1, "group_id": 1},
    "contact/delete": {"user_id": 1},
    "contact/block": {"user_id": 1, "action": 2},
    "contact-apply/create": {"user_id": 1, "remark": "r"},
    "contact-apply/accept": {"apply_id": 1, "remark": "r"},
    "contact-apply/decline": {"apply_id": 1, "remark": "r"},
    "contact-apply/list": {},
    "contact-apply/unread-num": {},
    "contact-group/list": {},
    "contact-group/save": {"items": [{"id": 0, "sort": 1, "name": "n"}]},
    "talk/session-list": {},
    "talk/session-create": {"talk_mode": 1, "to_from_id": 1},
    "talk/session-delete": {"talk_mode": 1, "to_from_id": 1},
    "talk/session-top": {"talk_mode": 1, "to_from_id": 1, "action": 1},
    "talk/session-disturb": {"talk_mode": 1, "to_from_id": 1, "action": 1},
    "talk/session-clear-unread-num": {"talk_mode": 1, "to_from_id": 1},
    "talk/session-clear-records": {"talk_mode": 1, "to_from_id": 1},
    "message/send": {"type": "text", "talk_mode": 1, "to_from_id": 1, "body": {"text": "t"}, "quote_id": HEX},
    "message/records": {"talk_mode": 1, "to_from_id": 1, "cursor": 0, "limit": 30},
    "message/history-records": {"talk_mode": 1, "to_from_id": 1, "cursor": 0, "limit": 30, "msg_type": 1},
    "message/forward-records": {"talk_mode": 1, "msg_ids": [HEX]},
    "message/revoke": {"talk_mode": 1, "to_from_id": 1, "msg_id": HEX},
    "message/delete": {"talk_mode": 1, "to_from_id": 1, "msg_ids": [HEX]},
    "message/status": {"talk_mode": 1, "to_from_id": 1, "msg_id": HEX, "status": 1},
    "message/sync": {"cursors": {"1": 1}, "since_ms": 0, "limit": 10, "device_id": "d"},
    "group/list": {},
    "group/create": {"name": "n", "user_ids": [1], "member_ids": [1]},
    "group/detail": {"group_id": 1},
    "group/member-list": {"group_id": 1},
    "group/get-invite-friends": {"group_id": 1},
    "group/setting": {"group_id": 1, "group_name": "n", "avatar": "", "profile": ""},
    "group/invite": {"group_id": 1, "user_ids": [1]},
    "group/remove-member": {"group_id": 1, "user_ids": [1]},
    "group/secede": {"group_id": 1},
    "group/dismiss": {"group_id": 1},
    "group/handover": {"group_id": 1, "user_id": 1},
    "group/assign-admin": {"group_id": 1, "user_id": 1, "action": 1},
    "group/no-speak": {"group_id": 1, "user_id": 1, "action": 1},
    "group/mute": {"group_id": 1, "action": 1},
    "group/remark-update": {"group_id": 1, "remark": "r"},
    "group-apply/unread-num": {},
    "group-apply/create": {"group_id": 1, "remark": "r"},
    "group-apply/agree": {"apply_id": 1},
    "group-apply/decline": {"apply_id": 1, "remark": "r"},
    "group-apply/list": {"group_id": 1},
    "group-apply/all": {},
    "emoticon/customize/list": {},
    "emoticon/customize/create": {"url": "/media/x.png"},
    "emoticon/customize/delete": {"emoticon_id": 1},
    "upload/init-multipart": {"file_name": "f", "file_size": 10, "upload_id": HEX},
}
"""Every route that wants a token, with a body of the right form."""
OPEN_ROUTES: dict[str, dict[str, Any]] = {
    "auth/login": {"mobile": "13100000004", "password": "x", "platform": "web"},
    "auth/register": {"nickname": "n", "mobile": "13100000004", "password": "secret77", "sms_code": "000000"},
    "auth/forget": {"mobile": "13100000004", "password": "secret77", "sms_code": "000000"},
    "common/send-sms": {"mobile": "13100000004", "channel": "forget_account"},
    "common/send-email": {"email": "eve@example.org", "channel": "forget_account"},
    "common/verify-email": {"email": "eve@example.org", "channel": "update_email", "code": "000000"},
}
FORM_ROUTES = ("upload/media-file", "upload/multipart", "emoticon/customize/upload")
"""These take forms."""
OTHER_ROUTES = ("auth/logout", "common/send-test")
"""Nothing to bend: no body. The first ends the log-in that asks."""
SOCKET_REQUESTS: dict[str, dict[str, Any]] = {
    "message.send": ROUTES["message/send"],
    "message.history": {"talk_mode": 1, "to_from_id": 1, "before": 5, "after": 1, "limit": 10},
    "message.recall": ROUTES["message/revoke"],
    "conversation.list": {},
    "conversation.read": {"talk_mode": 1, "to_from_id": 1, "seq": 1},
    "sync": {"cursors": {"1": 1}, "since_ms": 1, "limit": 10},
    "typing": {"talk_mode": 1, "to_from_id": 1},
    "presence.get": {"user_ids": [1]},
}
