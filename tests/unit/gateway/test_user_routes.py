"""The contract's sections 1.1 and 1.2 over the real application and the real user domain."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec
import pytest

from testkit.contacts import port_of
from testkit.rest import ports_of
from testkit.talks import media_object
from testkit.users import ISSUER, SECRET, UserDomain, sealed, user_domain
from xinyu.delivery.port import DeliveryPort
from xinyu.delivery.types import CloseOrder
from xinyu.gateway.auth import JwtAuthenticator
from xinyu.gateway.http.app import RestApplication
from xinyu.gateway.http.errors import ErrorTexts
from xinyu.gateway.http.routes import auth, user
from xinyu.gateway.services import services_over
from xinyu.gateway.settings import GatewaySettings
from xinyu.kernel.errors import Unavailable
from xinyu.kernel.ids import LoginId, UserId
from xinyu.media.errors import MediaNotFound
from xinyu.media.port import MediaPort
from xinyu.media.types import Kind, MediaObject
from xinyu.message.port import DevicePort
from xinyu.rpc.spec import MethodSpec
from xinyu.rpc.stub import Call, Transport, make_stub
from xinyu.storage.sql import SqliteDatabase
from xinyu.telemetry.metrics import Metrics

MOBILE, OTHER = "13800138000", "13900139000"


class Recorder(Transport):
    """Behind a stub: keeps the calls, refuses them all while `fails`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails = False

    def bind(self, method: MethodSpec) -> Call:
        async def call(*args: Any, **kwargs: Any) -> None:
            if self.fails:
                raise Unavailable()
            self.calls.append((method.label, *args, *kwargs.values()))

        return call


class Site:
    """The application with a client in front and the domain behind."""

    def __init__(self, domain: UserDomain) -> None:
        self.domain = domain
        self.recorder = Recorder()
        self.media: dict[str, MediaObject] = {}
        ports = ports_of(
            profiles=domain.profiles,
            accounts=domain.accounts,
            credentials=domain.credentials,
            logins=domain.logins,
            codes=domain.codes,
            delivery=make_stub(DeliveryPort, self.recorder),
            devices=make_stub(DevicePort, self.recorder),
            media=port_of(MediaPort, get_object=self._get_object),
        )
        settings = GatewaySettings()
        services = services_over(ports, settings)
        self.names = services.names
        application = RestApplication(
            settings,
            services,
            JwtAuthenticator(SECRET, ISSUER, domain.logins, domain.clock, 3.0),
            Metrics(),
            ErrorTexts({**auth.ERRORS, **user.ERRORS}),
        )
        app = application.build([*auth.ROUTES, *user.ROUTES])
        transport = httpx.ASGITransport(app, client=("198.51.100.7", 1))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test/api/v1/")

    async def _get_object(self, media_id: str) -> MediaObject:
        if media_id not in self.media:
            raise MediaNotFound()
        return self.media[media_id]

    async def post(self, path: str, token: str = "", **body: object) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = await self.client.post(path, json=body, headers=headers)
        return response.status_code, response.json()

    async def ok(self, path: str, token: str = "", **body: object) -> Any:
        status, answer = await self.post(path, token, **body)
        assert status == 200, answer
        return answer

    async def refused(self, path: str, token: str = "", **body: object) -> tuple[int, str]:
        status, answer = await self.post(path, token, **body)
        assert answer["code"] == status and answer["data"] is None
        return status, answer["message"]

    async def register(self, mobile: str = MOBILE, password: str = "secret-1") -> str:
        code = (await self.ok("common/send-sms", mobile=mobile, channel="register"))["sms_code"]
        answer = await self.ok(
            "auth/register", nickname="Ada", mobile=mobile, password=password, sms_code=code, platform="web"
        )
        return str(answer["access_token"])


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    database = SqliteDatabase(tmp_path / "user.db")
    await database.start()
    async with user_domain(database, codes_in_response=True) as domain:
        site = Site(domain)
        yield site
        await site.client.aclose()
    await database.stop()


async def test_register_and_log_in(site: Site) -> None:
    await site.register(password=sealed("secret-1"))
    answer = await site.ok("auth/login", mobile=MOBILE, password="secret-1", platform="pc")
    assert set(answer) == {"type", "access_token", "expires_in"}
    assert (answer["type"], answer["expires_in"]) == ("Bearer", 604_800)
    assert (await site.ok("user/detail", answer["access_token"]))["mobile"] == MOBILE


async def test_numbers_may_come_for_strings(site: Site) -> None:
    code = (await site.ok("common/send-sms", mobile=int(MOBILE), channel="register"))["sms_code"]
    await site.ok("auth/register", nickname="Ada", mobile=int(MOBILE), password="secret-1", sms_code=int(code))


async def test_a_wrong_password_and_an_unknown_mobile_are_the_same_400(site: Site) -> None:
    await site.register()
    for mobile in (MOBILE, OTHER):
        status, answer = await site.post("auth/login", mobile=mobile, password="secret-2")
        assert (status, answer["message"], answer["error"]) == (400, "手机号或密码错误", "user.wrong_credentials")


async def test_what_log_in_refuses(site: Site) -> None:
    token = await site.register()
    uid = (await site.ok("user/detail", token))["id"]
    await site.domain.accounts.set_disabled(UserId(uid), True)
    assert await site.refused("auth/login", mobile=MOBILE, password="secret-1") == (403, "账户被禁用!")
    assert await site.refused("auth/login") == (400, "手机号格式不正确")
    assert (await site.refused("auth/login", mobile=[1]))[0] == 400


async def test_too_many_attempts_say_when_to_come_back(site: Site) -> None:
    for _ in range(10):
        assert (await site.refused("auth/login", mobile=MOBILE, password="guess-1"))[0] == 400
    response = await site.client.post("auth/login", json={"mobile": MOBILE, "password": "guess-1"})
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "300"


async def test_codes_and_their_channels(site: Site) -> None:
    assert await site.refused("common/send-sms", mobile=MOBILE, channel="forget_account") == (400, "手机号未注册!")
    await site.register()
    assert await site.refused("common/send-sms", mobile=MOBILE, channel="register") == (400, "手机号已注册!")
    for channel in ("oauth_bind", "", "x"):
        assert (await site.refused("common/send-sms", mobile=MOBILE, channel=channel))[0] == 400
    assert await site.refused("common/send-email", email="a@b.de", channel="forget_account") == (400, "邮箱未注册!")
    code = (await site.ok("common/send-email", email="a@b.de"))["code"]
    assert await site.ok("common/verify-email", email="a@b.de", code=code, channel="update_email") == {}
    assert await site.refused("common/verify-email", email="a@b.de", code=code) == (400, "验证码不正确")
    assert await site.ok("common/send-test") == {"echo": True}


async def test_register_refuses(site: Site) -> None:
    code = (await site.ok("common/send-sms", mobile=MOBILE, channel="register"))["sms_code"]
    body: dict[str, object] = {"nickname": "Ada", "mobile": MOBILE, "password": "secret-1", "sms_code": code}
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert await site.refused("auth/register", **{**body, "sms_code": wrong}) == (400, "验证码不正确")
    assert (await site.refused("auth/register", **{**body, "password": "123"}))[0] == 400
    assert (await site.refused("auth/register", **{**body, "nickname": ""}))[0] == 400
    await site.ok("auth/register", **body)
    assert await site.refused("auth/register", **body) == (400, "验证码不正确")


async def test_a_forgotten_password(site: Site) -> None:
    token = await site.register()
    uid = (await site.ok("user/detail", token))["id"]
    code = (await site.ok("common/send-sms", mobile=MOBILE, channel="forget_account"))["sms_code"]
    assert await site.ok("auth/forget", mobile=MOBILE, password=sealed("secret-2"), sms_code=code) == {}
    assert site.recorder.calls == [("DeliveryPort.close_sessions", CloseOrder(UserId(uid)))]
    site.domain.clock.jump(3)
    assert (await site.post("user/detail", token))[0] == 401
    await site.ok("auth/login", mobile=MOBILE, password="secret-2")


async def test_log_out_ends_the_login_its_sockets_and_its_cursors(site: Site) -> None:
    token = await site.register()
    uid = (await site.ok("user/detail", token))["id"]
    login_id = LoginId(str(site_claims(token)["jti"]))
    assert await site.ok("auth/logout", token) == {}
    assert site.recorder.calls == [
        ("DeliveryPort.close_sessions", CloseOrder(UserId(uid), login_id=login_id)),
        ("DevicePort.forget_login", uid, login_id),
    ]
    site.domain.clock.jump(3)
    status, answer = await site.post("user/detail", token)
    assert (status, answer["message"]) == (401, "无效的访问令牌！")
    assert (await site.post("auth/logout"))[1]["message"] == "未提供访问令牌！"


def site_claims(token: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_detail_and_its_update(site: Site) -> None:
    token = await site.register()
    first = await site.ok("user/detail", token)
    expected = {
        "mobile": MOBILE,
        "nickname": "Ada",
        "email": "",
        "gender": 0,
        "motto": "",
        "avatar": "",
        "birthday": "",
    }
    assert first == {"id": first["id"], **expected}
    update = {"nickname": "", "avatar": "a.png", "motto": "hi", "gender": "2", "birthday": "2001-02-03"}
    assert (await site.names.of(first["id"])).avatar == ""
    assert await site.ok("user/detail-update", token, **update) == {}
    assert (await site.names.of(first["id"])).avatar == "a.png", "shown at once where it was changed"
    changed = {"avatar": "a.png", "motto": "hi", "gender": 2, "birthday": "2001-02-03"}
    assert await site.ok("user/detail", token) == {**first, **changed}
    assert (await site.refused("user/detail-update", token, gender=7))[0] == 400
    assert (await site.refused("user/detail-update", token, birthday="x"))[0] == 400


async def test_an_avatar_may_be_the_id_of_an_uploaded_image(site: Site) -> None:
    token = await site.register()
    picture = media_object(UserId(1), "ada.png")
    site.media[picture.media_id] = picture
    site.media["e" * 32] = msgspec.structs.replace(picture, kind=Kind.FILE)
    assert await site.ok("user/detail-update", token, avatar=picture.media_id.upper()) == {}
    assert (await site.ok("user/detail", token))["avatar"] == picture.url
    for media_id in ("e" * 32, "0" * 32):
        refusal = await site.refused("user/detail-update", token, avatar=media_id)
        assert refusal == (400, "avatar is no image that was uploaded")
    assert (await site.ok("user/detail", token))["avatar"] == picture.url


async def test_settings(site: Site) -> None:
    token = await site.register()
    answer = await site.ok("user/setting", token)
    assert answer["setting"] == {
        "theme_mode": "light",
        "theme_bag_img": "",
        "theme_color": "#409eff",
        "notify_cue_tone": "N",
        "keyboard_event_notify": "N",
    }
    head = answer["user_info"]
    assert (head["nickname"], head["is_qiye"], head["mobile"]) == ("Ada", 0, MOBILE)
    assert set(head) == {"uid", "nickname", "avatar", "motto", "gender", "is_qiye", "mobile", "email"}
    assert await site.ok("user/setting/save", token, theme_mode="dark", notify_cue_tone="Y") == {}
    saved = (await site.ok("user/setting", token))["setting"]
    assert (saved["theme_mode"], saved["theme_color"], saved["notify_cue_tone"]) == ("dark", "#409eff", "Y")


async def test_a_new_password_closes_every_other_login_and_a_repetition_is_answered_alike(site: Site) -> None:
    other = await site.register()
    token = (await site.ok("auth/login", mobile=MOBILE, password="secret-1"))["access_token"]
    refusal = await site.refused("user/password-update", token, old_password="secret-2", new_password="secret-3")
    assert refusal == (403, "旧密码错误")
    for _ in range(2):
        change = await site.ok("user/password-update", token, old_password="secret-1", new_password="secret-2")
        assert change == {}
    ((_, order),) = site.recorder.calls
    assert (order.login_id, order.except_login_id) == (None, site_claims(token)["jti"])
    site.domain.clock.jump(3)
    assert (await site.post("user/detail", other))[0] == 401
    assert (await site.post("user/detail", token))[0] == 200


async def test_sessions_that_cannot_be_closed_do_not_undo_the_change(site: Site) -> None:
    token = await site.register()
    site.recorder.fails = True
    await site.ok("user/password-update", token, old_password="secret-1", new_password="secret-2")
    await site.ok("auth/logout", token)


async def test_mobile_and_email(site: Site) -> None:
    token = await site.register()
    await site.register(OTHER)
    code = (await site.ok("common/send-sms", mobile=OTHER, channel="change_account"))["sms_code"]
    body: dict[str, object] = {"mobile": OTHER, "password": "secret-1", "sms_code": code}
    assert await site.refused("user/mobile-update", token, **{**body, "password": "secret-2"}) == (403, "密码错误")
    assert await site.refused("user/mobile-update", token, **body) == (400, "新手机号已被使用")
    code = (await site.ok("common/send-sms", mobile=MOBILE, channel="mobile_update"))["sms_code"]
    same = {"mobile": MOBILE, "password": "secret-1", "sms_code": code}
    assert await site.refused("user/mobile-update", token, **same) == (400, "新手机号不能与原手机号相同")
    code = (await site.ok("common/send-email", email="Ada@example.org", channel="update_email"))["code"]
    email = {"email": "ada@example.org", "password": "secret-1", "code": code}
    for _ in range(2):  # the web clients' automatic repetition
        assert await site.ok("user/email-update", token, **email) == {}
    assert (await site.ok("user/detail", token))["email"] == "ada@example.org"


async def test_every_route_of_the_user_wants_a_token(site: Site) -> None:
    for route in [*user.ROUTES, auth.ROUTES[-1]]:
        status, answer = await site.post(route.path.removeprefix("/api/v1/"))
        assert (status, answer["message"]) == (401, "未提供访问令牌！")


async def test_no_business_error_is_a_401_and_oauth_is_absent(site: Site) -> None:
    for path in ("auth/oauth", "auth/oauth/bind", "auth/oauth/login"):
        assert (await site.post(path))[0] == 404
    for route in auth.ROUTES[:-1]:
        assert (await site.post(route.path.removeprefix("/api/v1/"), "not a token"))[0] in (200, 400, 404)
