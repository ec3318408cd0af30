"""Sending verification codes."""

from __future__ import annotations

from xinyu.kernel.clock import Clock
from xinyu.user.code_book import CodeBook
from xinyu.user.code_sender import CodeSender
from xinyu.user.errors import EmailNotRegistered, MobileNotRegistered, MobileRegistered, UnknownChannel
from xinyu.user.port import CodePort
from xinyu.user.rules import normalised_email, normalised_mobile
from xinyu.user.settings import UserSettings
from xinyu.user.store import ProfileStore
from xinyu.user.throttle import Throttle
from xinyu.user.types import CodeChannel, SentCode

SMS_CHANNELS = frozenset({CodeChannel.REGISTER, CodeChannel.FORGET_ACCOUNT, CodeChannel.MOBILE_UPDATE})
EMAIL_CHANNELS = frozenset({CodeChannel.REGISTER, CodeChannel.FORGET_ACCOUNT, CodeChannel.UPDATE_EMAIL})


class CodeService(CodePort):
    """CodePort. Requests are counted before anything is looked up: the contract's answers tell which numbers are
    registered, so asking has to be slow."""

    def __init__(
        self,
        profiles: ProfileStore,
        book: CodeBook,
        sms: CodeSender,
        email: CodeSender,
        clock: Clock,
        settings: UserSettings,
    ) -> None:
        self._profiles = profiles
        self._book = book
        self._sms = sms
        self._email = email
        self._settings = settings
        window = settings.throttle_window_seconds
        self._per_target = Throttle(settings.code_sends_per_target, window, clock)
        self._per_address = Throttle(settings.code_sends_per_address, window, clock)

    async def send_sms_code(self, mobile: str, channel: CodeChannel, ip: str) -> SentCode:
        target = normalised_mobile(mobile)
        if channel not in SMS_CHANNELS:
            raise UnknownChannel()
        self._count(target, ip)
        if channel is not CodeChannel.MOBILE_UPDATE:
            known = await self._profiles.find_by_mobile(target) is not None
            if channel is CodeChannel.REGISTER and known:
                raise MobileRegistered()
            if channel is CodeChannel.FORGET_ACCOUNT and not known:
                raise MobileNotRegistered()
        return await self._send(self._sms, target, channel, ip, self._settings.sms_code_seconds)

    async def send_email_code(self, email: str, channel: CodeChannel, ip: str) -> SentCode:
        target = normalised_email(email)
        if channel not in EMAIL_CHANNELS:
            raise UnknownChannel()
        self._count(target, ip)
        if channel is CodeChannel.FORGET_ACCOUNT and await self._profiles.find_by_email(target) is None:
            raise EmailNotRegistered()
        return await self._send(self._email, target, channel, ip, self._settings.email_code_seconds)

    async def verify_email_code(self, email: str, channel: CodeChannel, code: str, ip: str) -> None:
        if channel not in EMAIL_CHANNELS:
            raise UnknownChannel()
        await self._book.use(normalised_email(email), channel, code)

    def _count(self, target: str, ip: str) -> None:
        if ip:
            self._per_address.hit(ip)
        self._per_target.hit(target)

    async def _send(self, sender: CodeSender, target: str, channel: CodeChannel, ip: str, seconds: int) -> SentCode:
        code = await self._book.make(target, channel, ip, seconds)
        await sender.send(target, code, channel, seconds)
        return SentCode(code if self._settings.codes_in_response else "")
