"""Log-in, registration, verification codes (CONTRACT.md section 1.1)."""

from __future__ import annotations

import msgspec

from xinyu.delivery.types import CloseOrder
from xinyu.gateway.http.call import Call, NoBody, RawRoute, Route
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.user import token_json
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import DeviceId
from xinyu.telemetry.logs import get_logger
from xinyu.user.errors import UnknownChannel
from xinyu.user.types import CodeChannel, LoginOrigin

log = get_logger(__name__)

CHANNELS: dict[str, CodeChannel] = {
    "register": CodeChannel.REGISTER,
    "forget_account": CodeChannel.FORGET_ACCOUNT,
    "mobile_update": CodeChannel.MOBILE_UPDATE,
    "change_account": CodeChannel.MOBILE_UPDATE,  # LumenIM's name for it
    "update_email": CodeChannel.UPDATE_EMAIL,
}

ERRORS: dict[str, str] = {
    "user.wrong_credentials": "手机号或密码错误",
    "user.disabled": "账户被禁用!",
    "user.password_not_base64": "密码解码失败！",
    "user.password_not_decryptable": "密码解密失败！",
    "user.bad_password": "密码长度应为6至128个字符",
    "user.bad_mobile": "手机号格式不正确",
    "user.bad_email": "邮箱格式不正确",
    "user.wrong_code": "验证码不正确",
    "user.unknown_channel": "不支持的验证码类型",
    "user.mobile_registered": "手机号已注册!",
    "user.mobile_not_registered": "手机号未注册!",
    "user.mobile_unknown": "手机号不存在",
    "user.email_not_registered": "邮箱未注册!",
    "user.sms_not_sent": "短信发送失败",
    "user.email_not_sent": "邮件发送失败",
    "user.too_many_attempts": "操作过于频繁，请稍后再试",
}
"""Where CONTRACT.md has no words for an error, these are ours."""


class SmsBody(msgspec.Struct):
    """common/send-sms"""

    mobile: str | int = ""
    channel: str = ""


class EmailBody(msgspec.Struct):
    """common/send-email"""

    email: str = ""
    channel: str = ""


class VerifyEmailBody(msgspec.Struct):
    """common/verify-email"""

    email: str = ""
    code: str | int = ""
    channel: str = ""


class LoginBody(msgspec.Struct):
    """auth/login"""

    mobile: str | int = ""
    password: str = ""
    platform: str = ""


class RegisterBody(msgspec.Struct):
    """auth/register"""

    nickname: str = ""
    mobile: str | int = ""
    password: str = ""
    sms_code: str | int = ""
    platform: str = ""


class ForgetBody(msgspec.Struct):
    """auth/forget"""

    mobile: str | int = ""
    password: str = ""
    sms_code: str | int = ""


async def send_sms(call: Call[SmsBody]) -> object:
    """Send a code; it is in the answer only where the configuration says so."""
    sent = await call.ports.codes.send_sms_code(str(call.body.mobile), _channel(call.body.channel), call.ip)
    return {"sms_code": sent.code}


async def send_email(call: Call[EmailBody]) -> object:
    """Send a code by e-mail; without a channel it is for a new address."""
    channel = _channel(call.body.channel or CodeChannel.UPDATE_EMAIL)
    sent = await call.ports.codes.send_email_code(call.body.email, channel, call.ip)
    return {"code": sent.code}


async def verify_email(call: Call[VerifyEmailBody]) -> None:
    """Use up a code sent by e-mail."""
    channel = _channel(call.body.channel or CodeChannel.UPDATE_EMAIL)
    await call.ports.codes.verify_email_code(call.body.email, channel, code_text(call.body.code), call.ip)


async def send_test(_call: Call[NoBody]) -> object:
    """Say that somebody is there."""
    return {"echo": True}


async def login(call: Call[LoginBody]) -> object:
    """Log in."""
    body = call.body
    return token_json(await call.ports.accounts.log_in(str(body.mobile), body.password, _origin(call, body.platform)))


async def register(call: Call[RegisterBody]) -> object:
    """Make an account and log in."""
    body = call.body
    origin = _origin(call, body.platform)
    token = await call.ports.accounts.register(
        body.nickname, str(body.mobile), body.password, code_text(body.sms_code), origin
    )
    return token_json(token)


async def forget(call: Call[ForgetBody]) -> None:
    """Set a new password with a code; whoever was logged in is logged out."""
    body = call.body
    user_id = await call.ports.credentials.reset_password(str(body.mobile), body.password, code_text(body.sms_code))
    await close_sessions(call.ports, CloseOrder(user_id))


async def logout(call: Call[NoBody]) -> None:
    """End the log-in whose token was shown."""
    caller = call.login
    await call.ports.logins.end_login(caller.user_id, caller.login_id)
    await close_sessions(call.ports, CloseOrder(caller.user_id, login_id=caller.login_id))
    try:
        await call.ports.devices.forget_login(caller.user_id, DeviceId(caller.login_id))
    except XinyuError as error:
        log.warning("cursors of an ended log-in were kept", uid=caller.user_id, error=error.code)


async def close_sessions(ports: Ports, order: CloseOrder) -> None:
    """Close sockets at once. The log-ins are ended already: what fails here the gateways' own sweep does later."""
    try:
        await ports.delivery.close_sessions(order)
    except XinyuError as error:
        log.warning("sessions not closed at once; the sweep will", uid=order.user_id, error=error.code)


def code_text(code: str | int) -> str:
    """A code as it was sent; one that came as a number has lost its zeros."""
    return code if isinstance(code, str) else f"{code:06d}"


def _channel(name: str) -> CodeChannel:
    channel = CHANNELS.get(name)
    if channel is None:
        raise UnknownChannel()
    return channel


def _origin(call: Call[LoginBody] | Call[RegisterBody], platform: str) -> LoginOrigin:
    return LoginOrigin(platform=platform, ip=call.ip, user_agent=call.user_agent)


ROUTES: list[Route | RawRoute] = [
    Route("/api/v1/common/send-sms", send_sms, SmsBody, auth=False),
    Route("/api/v1/common/send-email", send_email, EmailBody, auth=False),
    Route("/api/v1/common/verify-email", verify_email, VerifyEmailBody, auth=False),
    Route("/api/v1/common/send-test", send_test, auth=False),
    Route("/api/v1/auth/login", login, LoginBody, auth=False),
    Route("/api/v1/auth/register", register, RegisterBody, auth=False),
    Route("/api/v1/auth/forget", forget, ForgetBody, auth=False),
    Route("/api/v1/auth/logout", logout),
]
"""`auth/logout` is xinyu's own: the predecessor had none."""
