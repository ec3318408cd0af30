"""A gateway of the predecessor beside a cluster of ours: what each process of stage 4 knows of it, and it of them."""

from __future__ import annotations

import json

import pytest

from testkit.people import Town
from testkit.predecessor import as_gateway, raw_peer, raw_server
from testkit.waiting import eventually

pytestmark = pytest.mark.scenario
SHAPES = ("stage4",)
SETTINGS = {"predecessor": {"enabled": True, "port": 0}}


async def test_users_of_its_gateway_and_of_ours_reach_one_another(town: Town) -> None:
    left, right = (str(town.placement.nodes[f"gateway_ws_{n}"].addresses["predecessor"]) for n in (1, 2))
    ann, bob = await town.people("Ann", "Bob")
    page = await ann.page(ws_url=town.placement.ws_urls[1])
    async with raw_server(as_gateway) as gateway, raw_peer(left) as here, raw_peer(right) as there:
        assert (await here.ask(201, uid=bob.uid, gateway_rpc=gateway.address, ttl_sec=60)).result == 200
        assert (await there.ask(204, uid=bob.uid)).json == {"uid": bob.uid, "gateway_rpc": gateway.address}

        sent = await page.send_text(1, bob.uid, "hello")
        await eventually(lambda: len(gateway.events(bob.uid)) == 2)
        event, payload = gateway.events(bob.uid)[0]
        assert (event, payload["to_from_id"], payload["body"]["nickname"]) == ("im.message", ann.uid, "Ann")
        await page.post("message/revoke", {"talk_mode": 1, "to_from_id": bob.uid, "msg_id": sent["msg_id"]})
        await eventually(lambda: len(gateway.events(bob.uid)) == 3)
        event, payload = gateway.events(bob.uid)[2]
        assert (event, payload["msg_id"]) == ("im.message.revoke", sent["msg_id"])
        assert payload["remark"].startswith("Ann"), "names come from the users' process"

        assert (await here.ask(204, uid=ann.uid)).json["gateway_rpc"] == left, "whichever of our gateways holds her"
        told = await here.ask(101, uid=ann.uid, event="im.session.reload", payload={"from": "afar"})
        assert (told.result, told.body) == (200, b"")
        await eventually(lambda: {"from": "afar"} in page.events("im.session.reload"))

        assert (await there.ask(202, uid=bob.uid)).result == 200
        assert (await here.ask(204, uid=bob.uid)).result == 404
        assert json.loads(gateway.asked[0].body).keys() == {"uid", "event", "payload"}
