"""Anything on the live ports is answered by a documented error and changes nothing (G12); nobody gets at what is not
his (G11). The module's logs must be clean at its end, so nothing here may have failed inside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from testkit.hostile import BAD_BODIES, UNREADABLE, check_refusal, check_text, noise, odd_frames, variations
from testkit.people import Person, Town, shows
from testkit.placement import MAX_FRAME, MAX_JSON, ROOT, Placement
from testkit.requests import FORM_ROUTES, OPEN_ROUTES, OTHER_ROUTES, ROUTES, SOCKET_REQUESTS
from xinyu.sdk import Talk

pytestmark = pytest.mark.scenario
MEMORY_BYTES = 64 * 1024 * 1024
REFUSALS = (400, 403, 404, 409, 413, 422, 429)
NO_CARRIER = ("user.sms_not_sent", "user.email_not_sent")
"""What a server that is not embedded, and was given no carrier for codes, says of its own trouble."""


def rest(town: Town, token: str | None = None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=f"{town.placement.http}/api/v1/", headers=headers, timeout=20)


def check_answer(answer: httpx.Response) -> None:
    """Done, or refused as documented; never an error of the server's, never a 401."""
    if answer.status_code == 200:
        check_text(answer.text)
    elif answer.status_code == 503 and answer.json()["error"] in NO_CARRIER:
        check_refusal(answer, 503)
    else:
        check_refusal(answer, *REFUSALS)


def test_every_route_and_event_gets_its_share() -> None:
    """What the server offers is what is tried here."""
    done = subprocess.run(
        [sys.executable, "-m", "xinyu", "routes"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    offered = {line[1].removeprefix("/api/v1/") for line in lines if line[0] == "POST"}
    assert offered == {*ROUTES, *OPEN_ROUTES, *FORM_ROUTES, *OTHER_ROUTES}
    events = {line[1] for line in lines if line[0] == "event"}
    assert events == {*SOCKET_REQUESTS, "im.message.keyboard"}


async def test_no_body_brings_any_route_down(town: Town) -> None:
    eve = await town.person("Eve")
    async with rest(town, eve.client.token) as http, rest(town) as nobody:
        for routes, client in ((ROUTES, http), (OPEN_ROUTES, nobody)):
            for path, body in routes.items():
                bad = await asyncio.gather(*(client.post(path, content=content) for content in BAD_BODIES.values()))
                for name, answer in zip(BAD_BODIES, bad, strict=True):
                    check_answer(answer)
                    if name in UNREADABLE:
                        check_refusal(answer, 400)
                odd = await asyncio.gather(*(client.post(path, json=body) for body in variations(body)))
                for answer in odd:
                    check_answer(answer)


async def test_bodies_over_the_limit_are_refused_before_they_are_read(town: Town) -> None:
    eve = await town.person("Eve")
    async with rest(town, eve.client.token) as http:
        check_refusal(await http.post("user/detail", content=b" " * (MAX_JSON + 1)), 400, 413)

        async def endless() -> Any:
            for _ in range(1000):
                yield b" " * 10_000

        with contextlib.suppress(httpx.TransportError):  # it may hang up in the middle
            check_refusal(await http.post("user/detail", content=endless()), 400, 413)
        assert (await http.post("user/detail")).status_code == 200


async def test_without_a_good_token_nothing_is_answered(town: Town) -> None:
    eve = await town.person("Eve")
    good = str(eve.client.token)
    head, claims, signature = good.split(".")
    none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"
    forged = ["x", good[:-2], f"{none}.{claims}.", f"{head}.{claims[:-4]}AAAA.{signature}", "a" * 5000]
    bad = {"": "未提供访问令牌！", **dict.fromkeys(forged, "无效的访问令牌！")}
    for token, message in bad.items():
        async with rest(town, token) as http:
            for path in (*ROUTES, *FORM_ROUTES) if token in ("", "x") else ("user/detail",):
                answer = await http.post(path, json={})
                check_refusal(answer, 401)
                assert answer.json()["message"] == message
        for query, code in (("", 1000), ("&sync=1", 4401)):
            async with connect(f"{town.placement.ws}?token={token}{query}", compression=None) as socket:
                told = json.loads(await socket.recv())
                assert (told["event"], told["payload"]["error_code"]) == ("event_error", 401)
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
                assert socket.close_code == code
    async with rest(town) as http:
        for path in ("nothing/here", "auth/oauth", "group/overt-list", "../../admin/user-list"):
            check_refusal(await http.post(path, json={}), 404)
        check_refusal(await http.request("DELETE", "user/detail"), 404)


class Eve:
    """A stranger at a raw socket, asking with ids."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0

    async def ask(self, event: str, payload: object) -> dict[str, Any]:
        """The reply or error to a request; everything else that comes before it must be a push."""
        self._number += 1
        await self._socket.send(json.dumps({"event": event, "id": f"r{self._number}", "payload": payload}))
        while True:
            text = await asyncio.wait_for(self._socket.recv(), 10)
            frame: dict[str, Any] = json.loads(text)
            if frame.get("id") == f"r{self._number}":
                check_text(str(text))
                return frame
            assert frame["event"] in ("connect", "im.message", "im.session.update", "im.message.read"), frame


async def test_no_frame_brings_a_socket_down(town: Town) -> None:
    eve = await town.person("Eve")
    async with connect(f"{town.placement.ws}?token={eve.client.token}&sync=1", compression=None) as socket:
        asker = Eve(socket)
        for frame in odd_frames():
            await socket.send(frame)
        await socket.send(b"\x00\xff binary")
        for event, payload in SOCKET_REQUESTS.items():
            odd_payloads: list[object] = [*variations(payload), None, 7, "x", []]
            for odd in odd_payloads:
                frame = await asker.ask(event, odd)
                assert frame["event"] in ("reply", "error"), frame
                if frame["event"] == "error":
                    told = frame["payload"]
                    assert told["code"] in REFUSALS and "." in told["error"] and told["message"], (event, odd, told)
        unknown = await asker.ask("nobody.knows", {})
        assert (unknown["event"], unknown["payload"]["code"]) == ("error", 404)
        await socket.send(" " * (MAX_FRAME + 1))
        with pytest.raises(ConnectionClosed):
            await asker.ask("conversation.list", {})
        assert socket.close_code == 1009


async def what_they_have(*people: Person) -> list[object]:
    """All that the server keeps of some people, as far as they can see it."""
    found: list[object] = []
    for person in people:
        client = person.client
        lines = await client.talks.list()
        found += [lines, await client.contacts.list(), await client.contacts.groups(), await client.user.detail()]
        found += [await client.contacts.applications(), await client.post("emoticon/customize/list")]
        for line in lines:
            found.append(await client.messages.records(line.talk, limit=100))
        for group in await client.groups.list():
            found += [await client.groups.detail(group.group_id), await client.groups.members(group.group_id)]
    return found


async def test_a_stranger_gets_at_nothing_and_changes_nothing(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    carl, eve = await town.person("Carl"), await town.person("Eve")
    group_id = await ann.client.groups.create("Private", [bob.uid])
    sent = await ann.client.messages.send(bob.talk, "text", {"text": "between us"})
    in_group = await ann.client.messages.send(Talk.group(group_id), "text", {"text": "among us"})
    await carl.client.contacts.apply(ann.uid, "hello")
    [application] = await ann.client.contacts.applications()
    await ann.client.post("contact-group/save", {"items": [{"id": 0, "sort": 1, "name": "Friends"}]})
    [folder] = await ann.client.contacts.groups()
    upload = await ann.client.post("upload/init-multipart", {"file_name": "a", "file_size": 10})
    before = await what_they_have(ann, bob)
    talk, group = {"talk_mode": 1, "to_from_id": bob.uid}, {"talk_mode": 2, "to_from_id": group_id}
    text = {"type": "text", "body": {"text": "me too"}}
    forward = {"type": "forward", "body": {"action": 1, "msg_ids": [sent.msg_id], "user_ids": [carl.uid]}}
    attempts: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
        ("message/send", {**text, **group}, (403,)),
        ("message/send", {**text, "talk_mode": 2, "to_from_id": 2**40}, (403, 404)),
        ("message/send", {**text, **talk, "msg_id": sent.msg_id}, (200, 409)),
        ("message/send", {**text, "talk_mode": 1, "to_from_id": ann.uid, "quote_id": sent.msg_id}, (200, 400)),
        ("message/send", {**forward, **talk}, (404,)),
        ("message/revoke", {**talk, "msg_id": sent.msg_id}, (403, 404)),
        ("message/revoke", {**group, "msg_id": in_group.msg_id}, (403, 404)),
        ("message/status", {**group, "msg_id": in_group.msg_id, "status": 3}, (200, 403)),
        ("message/delete", {**group, "msg_ids": [in_group.msg_id]}, (200, 403)),
        ("talk/session-create", group, (403,)),
        ("talk/session-clear-unread-num", group, (403,)),
        ("talk/session-clear-records", group, (403,)),
        ("talk/session-top", {**group, "action": 1}, (403,)),
        ("contact-apply/accept", {"apply_id": application.id}, (404,)),
        ("contact-apply/decline", {"apply_id": application.id}, (404,)),
        ("contact-group/save", {"items": [{"id": folder.id, "sort": 1, "name": "Mine"}]}, (404,)),
        ("contact/edit-remark", {"user_id": ann.uid, "remark": "x"}, (404,)),
        ("contact/change-group", {"user_id": ann.uid, "group_id": folder.id}, (404,)),
        ("contact/delete", {"user_id": ann.uid}, (404,)),
        ("group/detail", {"group_id": group_id}, (403,)),
        ("group/member-list", {"group_id": group_id}, (403,)),
        ("group/get-invite-friends", {"group_id": group_id}, (403,)),
        ("group/setting", {"group_id": group_id, "group_name": "Eve's"}, (403,)),
        ("group/invite", {"group_id": group_id, "user_ids": [carl.uid]}, (403,)),
        ("group/remove-member", {"group_id": group_id, "user_ids": [bob.uid]}, (403,)),
        ("group/secede", {"group_id": group_id}, (404,)),
        ("group/dismiss", {"group_id": group_id}, (403,)),
        ("group/handover", {"group_id": group_id, "user_id": eve.uid}, (403,)),
        ("group/assign-admin", {"group_id": group_id, "user_id": eve.uid, "action": 1}, (403,)),
        ("group/no-speak", {"group_id": group_id, "user_id": bob.uid, "action": 1}, (403,)),
        ("group/mute", {"group_id": group_id, "action": 1}, (403,)),
        ("group/remark-update", {"group_id": group_id, "remark": "x"}, (403,)),
        ("upload/init-multipart", {"file_size": 10, "upload_id": upload["upload_id"]}, (404,)),
    ]
    async with rest(town, eve.client.token) as http:
        for path, body, statuses in attempts:
            answer = await http.post(path, json=body)
            if answer.status_code != 200:
                check_refusal(answer, *statuses)
            assert answer.status_code in statuses, (path, answer.status_code, answer.text)
        for path in ("message/records", "message/history-records"):
            assert (await http.post(path, json=group)).json()["items"] == []
        asked = {"talk_mode": 1, "msg_ids": [sent.msg_id, in_group.msg_id]}
        assert (await http.post("message/forward-records", json=asked)).json()["items"] == []
        detail = (await http.post("contact/detail", json={"user_id": ann.uid})).json()
        assert (detail["mobile"], detail["email"], detail["relation"]) == ("", "", 1)
        synced = (await http.post("message/sync", json={"cursors": {"1": 0, "2": 0, "3": 0}})).json()
        assert not [m for item in synced["items"] for m in item["messages"] if "between" in m["extra"]]
    async with connect(f"{town.placement.ws}?token={eve.client.token}&sync=1", compression=None) as socket:
        asker = Eve(socket)
        for event, payload, codes in (
            ("message.send", {**text, **group}, (403,)),
            ("message.recall", {**talk, "msg_id": sent.msg_id}, (403, 404)),
            ("conversation.read", {**group, "seq": 1}, (403,)),
            ("typing", group, (403,)),
        ):
            assert (await asker.ask(event, payload))["payload"].get("code") in codes, event
        assert (await asker.ask("message.history", {**group, "after": 0}))["payload"] == {"items": [], "more": False}
        self_talk = {"talk_mode": 3, "to_from_id": ann.uid, "after": 0}
        assert (await asker.ask("message.history", self_talk))["payload"].get("items", []) == []
    assert await what_they_have(ann, bob) == before


async def test_noise_on_every_port_leaves_the_server_as_it_was(town: Town, placement: Placement) -> None:
    ann, bob = await town.people("Ann", "Bob")
    phone, page = await bob.device(), await bob.page()
    urls = [*placement.http_urls, *placement.ws_urls, *placement.admin_urls.values()]

    async def hiss(url: str, content: bytes) -> None:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        with contextlib.suppress(ConnectionError):
            writer.write(content)
            writer.write_eof()
            check_text((await asyncio.wait_for(reader.read(65_536), 10)).decode("latin-1"))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def storm(count: int) -> None:
        for content in noise(count):
            await asyncio.gather(*(hiss(url, content) for url in urls))

    await storm(10)  # pools and caches fill once
    before = {name: node.rss_bytes for name, node in placement.nodes.items()}
    await storm(100)
    async with rest(town, ann.client.token) as http:
        for _ in range(30):
            await asyncio.gather(*(http.post("user/detail", content=b"[" * MAX_JSON) for _ in range(10)))
    for name, node in placement.nodes.items():
        assert node.rss_bytes - before[name] < MEMORY_BYTES, name
    sender = await ann.device()
    await sender.client.send_text(bob.talk, "all is well")
    await shows(phone, ann.talk, ["all is well"])
    await shows(page, ann.talk, ["all is well"])
