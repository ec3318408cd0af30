"""REST calls about this user and other people: log in, profile, settings, contacts (CONTRACT.md 1.1 to 1.3)."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from xinyu.sdk.api.rest import Empty, Rest
from xinyu.sdk.types import Conversation, Json


class Login(msgspec.Struct, frozen=True):
    """A fresh access token; `expires_in` in seconds."""

    access_token: str
    expires_in: int
    type: str = "Bearer"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The user's own profile; `gender` 0 unknown, 1 male, 2 female; `birthday` "YYYY-MM-DD" or empty."""

    id: int
    mobile: str = ""
    nickname: str = ""
    email: str = ""
    gender: int = 0
    motto: str = ""
    avatar: str = ""
    birthday: str = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the user's clients share; flags are "Y" or "N"."""

    theme_mode: str = "light"
    theme_bag_img: str = ""
    theme_color: str = "#409eff"
    notify_cue_tone: str = "N"
    keyboard_event_notify: str = "N"


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact in the list; `group_id` 0 is the default contact group."""

    user_id: int
    nickname: str = ""
    gender: int = 0
    motto: str = ""
    avatar: str = ""
    remark: str = ""
    group_id: int = 0


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Another user; `relation` 1 stranger, 2 friend, 3 colleague, 4 self (0 where the route does not say)."""

    user_id: int
    mobile: str = ""
    nickname: str = ""
    avatar: str = ""
    gender: int = 0
    motto: str = ""
    email: str = ""
    relation: int = 0
    contact_remark: str = ""
    contact_group_id: int = 0
    online_status: str = ""


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """A pending application: `user_id` wants to be a contact of `friend_id`."""

    id: int
    user_id: int
    friend_id: int = 0
    remark: str = ""
    nickname: str = ""
    avatar: str = ""
    created_at: str = ""


class ContactGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A named group of contacts; id 0 when saving makes a new one."""

    id: int = 0
    name: str
    sort: int = 0
    count: int = 0


class _Number(msgspec.Struct):
    num: int


class _Accepted(msgspec.Struct):
    session: Conversation | None = None


class _Online(msgspec.Struct):
    online_status: str


class _Setting(msgspec.Struct):
    user_info: Json
    setting: Settings


class UserApi:
    """Log-in, profile and settings."""

    def __init__(self, rest: Rest, public_key_pem: str | bytes | None = None) -> None:
        """With the server's RSA public key passwords travel encrypted (PKCS#1 v1.5, CONTRACT.md section 7)."""
        self._rest = rest
        pem = public_key_pem.encode() if isinstance(public_key_pem, str) else public_key_pem
        key = load_pem_public_key(pem) if pem is not None else None
        if key is not None and not isinstance(key, rsa.RSAPublicKey):
            raise ValueError("the public key is not an RSA key")
        self._key = key

    def _seal(self, password: str) -> str:
        if self._key is None:
            return password
        return base64.b64encode(self._key.encrypt(password.encode(), padding.PKCS1v15())).decode()

    async def send_sms(self, mobile: str, channel: str) -> str:
        """Ask for a code (`register`, `forget_account`, `mobile_update`); returns it where the server is embedded."""
        return str(
            (await self._rest.post("common/send-sms", {"mobile": mobile, "channel": channel})).get("sms_code", "")
        )

    async def send_email(self, email: str, channel: str) -> str:
        """Ask for a code by e-mail (`update_email`, `forget_account`)."""
        return str((await self._rest.post("common/send-email", {"email": email, "channel": channel})).get("code", ""))

    async def verify_email(self, email: str, channel: str, code: str) -> None:
        """Check (and use up) a code sent by e-mail."""
        await self._rest.post_as("common/verify-email", Empty, {"email": email, "channel": channel, "code": code})

    async def login(self, mobile: str, password: str, platform: str = "app") -> Login:
        """Log in; the token is used from now on. A wrong password is ApiError 400."""
        body = {"mobile": mobile, "password": self._seal(password), "platform": platform}
        return self._keep(await self._rest.post_as("auth/login", Login, body))

    async def register(self, mobile: str, password: str, nickname: str, sms_code: str, platform: str = "app") -> Login:
        """Make an account with a code of channel `register`, and log in."""
        body = {"mobile": mobile, "password": self._seal(password), "nickname": nickname, "sms_code": sms_code}
        return self._keep(await self._rest.post_as("auth/register", Login, {**body, "platform": platform}))

    def _keep(self, login: Login) -> Login:
        self._rest.token = login.access_token
        return login

    async def forget(self, mobile: str, password: str, sms_code: str) -> None:
        """Set a new password with a code of channel `forget_account`."""
        body = {"mobile": mobile, "password": self._seal(password), "sms_code": sms_code}
        await self._rest.post_as("auth/forget", Empty, body)

    async def detail(self) -> Profile:
        """This user's profile."""
        return await self._rest.post_as("user/detail", Profile)

    async def update(
        self, *, nickname: str = "", avatar: str = "", motto: str = "", gender: int = 0, birthday: str = ""
    ) -> None:
        """Replace the profile. An empty nickname keeps the old one, other empty fields are cleared."""
        body = {"nickname": nickname, "avatar": avatar, "motto": motto, "gender": gender, "birthday": birthday}
        await self._rest.post_as("user/detail-update", Empty, body)

    async def update_email(self, email: str, password: str, code: str) -> None:
        """Change the e-mail address with a code sent to the new one."""
        body = {"email": email, "password": self._seal(password), "code": code}
        await self._rest.post_as("user/email-update", Empty, body)

    async def update_mobile(self, mobile: str, password: str, sms_code: str) -> None:
        """Change the mobile number with a code sent to the new one."""
        body = {"mobile": mobile, "password": self._seal(password), "sms_code": sms_code}
        await self._rest.post_as("user/mobile-update", Empty, body)

    async def update_password(self, old: str, new: str) -> None:
        """Change the password. Ends log-ins, this one may be among them."""
        body = {"old_password": self._seal(old), "new_password": self._seal(new)}
        await self._rest.post_as("user/password-update", Empty, body)

    async def settings(self) -> Settings:
        """What the user's clients share."""
        return (await self._rest.post_as("user/setting", _Setting)).setting

    async def save_settings(self, settings: Settings) -> None:
        """Replace all settings."""
        await self._rest.post_as("user/setting/save", Empty, msgspec.to_builtins(settings))


class ContactsApi:
    """Contacts, applications and groups of contacts."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def list(self) -> list[Contact]:
        """All contacts, oldest friendship first."""
        return await self._rest.list_as("contact/list", Contact)

    async def detail(self, user_id: int) -> Person:
        """Another user as this one sees him."""
        return await self._rest.post_as("contact/detail", Person, {"user_id": user_id})

    async def search(self, mobile: str) -> Person:
        """The user with this mobile number. ApiError when there is none."""
        return await self._rest.post_as("contact/search", Person, {"mobile": mobile})

    async def online(self, user_id: int) -> bool:
        """Whether the user is online on any device."""
        return (await self._rest.post_as("contact/online-status", _Online, {"user_id": user_id})).online_status == "Y"

    async def edit_remark(self, user_id: int, remark: str) -> None:
        """Set this user's private name for the contact."""
        await self._rest.post_as("contact/edit-remark", Empty, {"user_id": user_id, "remark": remark})

    async def change_group(self, user_id: int, group_id: int) -> None:
        """Move the contact to a contact group; 0 is the default group."""
        await self._rest.post_as("contact/change-group", Empty, {"user_id": user_id, "group_id": group_id})

    async def delete(self, user_id: int) -> None:
        """Remove the contact. He can no longer send to this user."""
        await self._rest.post_as("contact/delete", Empty, {"user_id": user_id})

    async def apply(self, user_id: int, remark: str = "") -> None:
        """Ask to be contacts. A pending application is not doubled."""
        await self._rest.post_as("contact-apply/create", Empty, {"user_id": user_id, "remark": remark})

    async def accept(self, apply_id: int, remark: str = "") -> Conversation | None:
        """Accept an application; the private conversation."""
        body = {"apply_id": apply_id, "remark": remark}
        return (await self._rest.post_as("contact-apply/accept", _Accepted, body)).session

    async def decline(self, apply_id: int, remark: str = "") -> None:
        """Decline an application."""
        await self._rest.post_as("contact-apply/decline", Empty, {"apply_id": apply_id, "remark": remark})

    async def applications(self) -> Sequence[Application]:
        """Pending applications to this user."""
        return await self._rest.list_as("contact-apply/list", Application)

    async def application_count(self) -> int:
        """How many applications are pending."""
        return (await self._rest.post_as("contact-apply/unread-num", _Number)).num

    async def groups(self) -> Sequence[ContactGroup]:
        """The groups of contacts."""
        return await self._rest.list_as("contact-group/list", ContactGroup)

    async def save_groups(self, groups: Sequence[ContactGroup]) -> None:
        """Replace the *complete* list; missing ones are deleted and their contacts un-grouped."""
        items = [{"id": group.id, "sort": group.sort, "name": group.name} for group in groups]
        await self._rest.post_as("contact-group/save", Empty, {"items": items})
