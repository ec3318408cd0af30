"""Whom codes are given to: a carrier that is set, else the log of an embedded server, else nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from testkit.placement import free_port
from xinyu.app.secrets import make_password_key
from xinyu.app.settings import Settings, as_yaml, shown
from xinyu.app.supervisor import Process
from xinyu.cli.config_check import checked
from xinyu.kernel.errors import XinyuError
from xinyu.user.sender_smtp import SmtpCodeSender
from xinyu.user.sender_webhook import WebhookCodeSender
from xinyu.user.types import CodeChannel

CODE, LIFETIME = "012345", 300
CARRIERS = {"sms_url": "http://127.0.0.1:1/", "smtp_host": "127.0.0.1", "smtp_from": "xinyu@example.org"}


def settings_of(folder: Path, embedded: bool, **user: Any) -> Settings:
    key = folder / "rsa_private.pem"
    if not key.exists():
        make_password_key(key)
    return Settings.model_validate({
        "embedded": embedded, "data_dir": folder / "data", "admin_port": 0,
        "auth": {"jwt_secret": "j" * 32, "admin_secret": "a" * 32},
        "gateway": {"http_port": free_port(), "ws_port": free_port()},
        "user": {"rsa_private_key_path": str(key), **user},
    })  # fmt: skip


@pytest.mark.parametrize(
    ("name", "target", "error"),
    [("sms_sender", "13800138000", "user.sms_not_sent"), ("email_sender", "ada@example.org", "user.email_not_sent")],
)
async def test_only_an_embedded_server_writes_codes_into_its_log(
    tmp_path: Path, name: str, target: str, error: str
) -> None:
    for embedded in (True, False):
        sender = getattr(Process(settings_of(tmp_path, embedded)).container, name)()
        with capture_logs() as lines:
            if embedded:
                await sender.send(target, CODE, CodeChannel.REGISTER, LIFETIME)
            else:
                with pytest.raises(XinyuError) as refused:
                    await sender.send(target, CODE, CodeChannel.REGISTER, LIFETIME)
                assert refused.value.code == error
        assert (CODE in str(lines)) is (target in str(lines)) is embedded


async def test_a_carrier_that_is_set_is_taken(tmp_path: Path) -> None:
    for embedded in (True, False):
        container = Process(settings_of(tmp_path, embedded, **CARRIERS)).container
        assert isinstance(container.sms_sender(), WebhookCodeSender)
        assert isinstance(container.email_sender(), SmtpCodeSender)


async def test_missing_carriers_are_warned_of(tmp_path: Path) -> None:
    async def warnings(settings: Settings) -> list[str]:
        found = [text.partition(":")[0] for level, text in await checked(settings) if level == "warning"]
        return [name for name in found if name.startswith("user.")]

    assert await warnings(settings_of(tmp_path, False)) == ["user.sms_url", "user.smtp_host"]
    assert await warnings(settings_of(tmp_path, False, **CARRIERS)) == []
    assert await warnings(settings_of(tmp_path, True)) == []


@pytest.mark.parametrize("url", ["https://", "http://:80/", "http://[::1", "http://host:99999/", "ftp://host/"])
def test_an_address_that_cannot_be_is_one_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match=r"user.sms_url(:|\n)"):
        Process(settings_of(tmp_path, True, sms_url=url))


def test_the_carriers_secret_is_not_shown(tmp_path: Path) -> None:
    user = {"sms_url": "https://we:hunter2@sms.example.org/", "sms_secret": "hunter2"}
    text = as_yaml(shown(settings_of(tmp_path, False, **user)))
    assert "sms.example.org" in text and "hunter2" not in text
