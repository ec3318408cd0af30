"""Log-ins end when they should, on open sockets too (G11: within 5 s); forgotten passwords; passwords that travel
encrypted (CONTRACT.md section 7)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from testkit.people import PASSWORD, Device, Page, Person, Town
from testkit.waiting import eventually
from xinyu.sdk import ApiError
from xinyu.sdk.client import Options
from xinyu.sdk.errors import LoginEnded

pytestmark = pytest.mark.scenario
G11_SECONDS = 5.0


async def status_of(town: Town, token: str | None, path: str = "user/detail") -> int:
    """How the server answers this token on REST."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=town.placement.http, timeout=10) as http:
        return (await http.post(f"/api/v1/{path}", headers=headers, json={})).status_code


async def everything_ends(town: Town, person_devices: list[Device], page: Page, tokens: list[str]) -> None:
    """Devices are told to log in again, the page stops dialling, tokens are worth nothing: within 5 s."""

    async def all_over() -> bool:
        assert all(isinstance(device.ended, LoginEnded) for device in person_devices)
        assert page.stopped
        assert [await status_of(town, token) for token in tokens] == [401] * len(tokens)
        return True

    await eventually(all_over, G11_SECONDS)


class Household:
    """A person's device and page, and their tokens."""

    def __init__(self, device: Device, page: Page, tokens: list[str]) -> None:
        self.device = device
        self.page = page
        self.tokens = tokens


async def settle(person: Person) -> Household:
    device, token = await person.device(), await person.log_in("web")
    assert device.client.token
    return Household(device, await person.page(token), [device.client.token, token])


async def test_logout_ends_that_log_in_and_no_other(town: Town) -> None:
    ann = await town.person("Ann")
    home = await settle(ann)
    gone = await ann.device()
    await gone.client.post("auth/logout")
    await eventually(lambda: isinstance(gone.ended, LoginEnded), G11_SECONDS)

    async def is_worthless() -> bool:
        return await status_of(town, gone.client.token) == 401

    await eventually(is_worthless, G11_SECONDS)
    assert [await status_of(town, token) for token in home.tokens] == [200, 200]
    assert home.device.ended is None and home.page.connected


async def test_a_changed_password_ends_the_other_log_ins(town: Town) -> None:
    ann = await town.person("Ann")
    home = await settle(ann)
    with pytest.raises(ApiError) as refused:
        await ann.client.user.update_password("not it at all", "a new password 8")
    assert refused.value.status == 403
    await ann.client.user.update_password(PASSWORD, "a new password 8")
    await everything_ends(town, [home.device], home.page, home.tokens)
    assert (await ann.client.user.detail()).nickname == "Ann"  # who changed it stays
    with pytest.raises(ApiError) as wrong:
        await ann.log_in()
    assert wrong.value.status == 400
    ann.password = "a new password 8"
    await ann.device()


async def test_a_forgotten_password_is_set_by_code_and_ends_all_log_ins(town: Town) -> None:
    ann = await town.person("Ann")
    home = await settle(ann)
    stranger = town.client()
    code = await town.code(stranger, ann.mobile, "forget_account")
    with pytest.raises(ApiError) as refused:
        await stranger.user.forget(ann.mobile, "a new password 8", "000000" if code != "000000" else "000001")
    assert refused.value.status == 400
    await stranger.user.forget(ann.mobile, "a new password 8", code)
    await everything_ends(town, [home.device], home.page, [*home.tokens, str(ann.client.token)])
    with pytest.raises(ApiError) as used:
        await stranger.user.forget(ann.mobile, "another password 9", code)
    assert used.value.status == 400
    ann.password = "a new password 8"
    await ann.device()


async def test_a_disabled_user_is_out_and_comes_back_when_enabled(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    home = await settle(ann)
    await town.admin("user-disable", mobile=ann.mobile, disabled=True)
    await everything_ends(town, [home.device], home.page, home.tokens)
    with pytest.raises(ApiError) as refused:
        await ann.log_in()
    assert refused.value.status == 403
    sent = await (await bob.device()).client.send_text(ann.talk, "for when you are back")
    assert sent.accepted
    await town.admin("user-disable", mobile=ann.mobile, disabled=False)
    back = await ann.device(history="all")
    await eventually(lambda: "for when you are back" in back.texts(bob.talk))


async def test_unknown_numbers_and_wrong_passwords_look_the_same(town: Town) -> None:
    ann = await town.person("Ann")
    answers: list[dict[str, Any]] = []
    async with httpx.AsyncClient(base_url=f"{town.placement.http}/api/v1/", timeout=10) as http:
        for mobile in (ann.mobile, "13100000009"):
            answer = await http.post("auth/login", json={"mobile": mobile, "password": "wrong one 77"})
            assert answer.status_code == 400
            answers.append(answer.json())
    assert answers[0] == answers[1]


async def test_passwords_may_travel_encrypted(town: Town) -> None:
    """With the server's key; what cannot be decrypted is refused."""
    pem = (town.placement.keys / "rsa_private.pem").read_bytes()
    key = load_pem_private_key(pem, None).public_key()
    public = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    ann = await town.person("Ann")
    client = town.client(options=Options(public_key_pem=public))
    await client.login(ann.mobile, PASSWORD)
    await client.user.update_password(PASSWORD, "sealed password 8")
    await client.login(ann.mobile, "sealed password 8")
    assert (await client.user.detail()).nickname == "Ann"
    plain = town.client()
    assert (await plain.login(ann.mobile, "sealed password 8")).type == "Bearer"


async def test_profile_settings_and_mobile_are_kept(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    await ann.client.user.update(nickname="Anna", motto="onwards", gender=2, birthday="1990-05-01")
    profile = await ann.client.user.detail()
    assert (profile.nickname, profile.motto, profile.gender, profile.birthday) == ("Anna", "onwards", 2, "1990-05-01")
    new = f"139{ann.mobile[3:]}"
    code = await town.code(ann.client, new, "mobile_update")
    await ann.client.user.update_mobile(new, PASSWORD, code)
    ann.mobile = new
    await ann.log_in()
    assert (await bob.client.contacts.search(new)).nickname == "Anna"
    await asyncio.gather(*(bob.client.contacts.edit_remark(ann.uid, f"A{n}") for n in range(3)))
    assert (await bob.client.contacts.detail(ann.uid)).contact_remark in ("A0", "A1", "A2")
