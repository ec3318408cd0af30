"""One trace id, searched for in the logs of all processes, tells a request's whole way; what is seen is documented."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from reference_pages.metrics import metric_names
from testkit.people import Person, Town, shows
from testkit.placement import Placement
from testkit.waiting import eventually
from xinyu.kernel.ids import new_hex_id, new_msg_id
from xinyu.telemetry.logs import FIELDS

pytestmark = pytest.mark.scenario
SHAPES = ("monolith", "stage4")
"""One process and all of them: its logs want a deployment of their own, and between the two there is nothing new."""
SETTINGS = {"log": {"level": "debug"}}
Line = dict[str, Any]
WAY = ("message appended", "push handed to delivery", "push located", "push at its sockets", "push taken by a node")


def lines_of(placement: Placement, text: str = "") -> list[Line]:
    """Lines with `text` in them, of all processes, in the order of their time."""
    found = [json.loads(line) for log in placement.logs.values() for line in log.splitlines() if text in line]
    return sorted(found, key=lambda line: str(line["timestamp"]))


async def send(sender: Person, to: Person, text: str, trace_id: str) -> httpx.Response:
    """A message over REST, with a trace id of the client's own."""
    body = {"text": text, "content": text}
    message = {"type": "text", "talk_mode": 1, "to_from_id": to.uid, "msg_id": new_msg_id(), "body": body}
    headers = {"Authorization": f"Bearer {sender.client.token}", "X-Trace-ID": trace_id}
    async with httpx.AsyncClient(base_url=sender.town.placement.http) as http:
        return await http.post("/api/v1/message/send", json=message, headers=headers)


async def test_one_trace_id_tells_the_whole_way_of_a_message(town: Town) -> None:
    placement, trace_id = town.placement, new_hex_id()
    ann, bob = await town.people("Ann", "Bob")
    phones = [await bob.device(ws_url=[url]) for url in placement.ws_urls]
    response = await send(ann, bob, "where do I go?", trace_id)
    assert (response.status_code, response.headers["X-Trace-ID"]) == (200, trace_id)
    for phone in phones:
        await shows(phone, ann.talk, ["where do I go?"])

    def way() -> list[Line] | None:
        lines = lines_of(placement, trace_id)
        taken = [line for line in lines if line["event"] == "push taken by a node"]
        done = [line for line in lines if line["event"] == "request done"]
        return lines if done and len(taken) == len(phones) else None

    lines = await eventually(way)
    assert {line["trace_id"] for line in lines} == {trace_id}
    events = [line["event"] for line in lines]
    firsts = [events.index(event) for event in WAY]
    assert firsts == sorted(firsts), "in this order"
    (done,) = (line for line in lines if line["event"] == "request done")
    assert (done["route"], done["status"], done["uid"]) == ("POST /api/v1/message/send", 200, ann.uid)
    (appended,) = (line for line in lines if line["event"] == "message appended")
    assert (appended["uid"], appended["msg_id"]) == (ann.uid, response.json()["msg_id"])
    here = [line for line in lines if line["event"] == "push at its sockets"]
    assert {line["instance_id"] for line in here} == {node.name for node in placement.hosts("gateway_ws")}
    assert all(line["msg_id"] == appended["msg_id"] and line["sessions"] == 1 for line in here)
    if placement.is_cluster:
        served = {line["method"] for line in lines if line["event"] == "call served"}
        assert {"MessagePort.send", "DelivererPort.deliver"} <= served


async def test_a_refused_request_is_found_by_its_trace_too(town: Town) -> None:
    trace_id = new_hex_id()
    async with httpx.AsyncClient(base_url=town.placement.http, headers={"X-Trace-ID": trace_id}) as http:
        for path, status in (("message/send", 401), ("no/such", 404), ("auth/login", 400)):
            answer = await http.post(f"/api/v1/{path}", json={})
            assert (answer.status_code, answer.headers["X-Trace-ID"]) == (status, trace_id)
        download = await http.get("/media/nothing.png")
        assert download.headers["X-Trace-ID"] == trace_id
        ping = await http.get("/ping", headers={"X-Trace-ID": "not a trace id"})
        assert len(ping.headers["X-Trace-ID"]) == 32
    statuses = [line["status"] for line in lines_of(town.placement, trace_id) if line["event"] == "request done"]
    assert statuses[:2] == [401, 400]


async def test_lines_have_no_other_words_and_metrics_are_on_their_page(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    phone = await bob.device()
    assert (await send(ann, bob, "hello", "")).status_code == 200
    await shows(phone, ann.talk, ["hello"])
    lines = lines_of(town.placement)
    assert {name for line in lines for name in line} <= set(FIELDS)
    assert all(line["service_name"] and line["instance_id"] for line in lines)
    documented = metric_names()
    assert {base_of(series, documented) for series, _ in town.placement.metrics()} <= documented


def base_of(series: str, documented: set[str]) -> str:
    """The metric that a series is of."""
    name = series.partition("{")[0]
    bases = (name.removesuffix(suffix) for suffix in ("_bucket", "_sum", "_count"))
    return next((base for base in bases if base in documented), name)
