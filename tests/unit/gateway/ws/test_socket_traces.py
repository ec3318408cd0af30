"""A frame's trace id on the whole way of what it asks for, through one process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from testkit.logs import followed, named
from testkit.sockets import SocketWorld, socket_world
from testkit.waiting import eventually
from xinyu.kernel.ids import UserId, new_msg_id
from xinyu.telemetry.readings import Histogram

pytestmark = [pytest.mark.whole, pytest.mark.asyncio(loop_scope="module")]
TRACE = "fedcba98-7654-3210"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketWorld]:
    async with socket_world(tmp_path_factory.mktemp("traces")) as made:
        yield made


def readings(world: SocketWorld) -> dict[str, float | Histogram]:
    container = world.process.container
    sources = (container.hub(), container.requests(), container.deliverer(), container.authenticator())
    return {name: value for source in sources for name, _, value in source.readings()}


def draft(to: UserId) -> dict[str, object]:
    body = {"text": "hello", "content": "hello"}
    return {"type": "text", "talk_mode": 1, "to_from_id": to, "msg_id": new_msg_id(), "body": body}


async def test_the_trace_of_a_frame_reaches_the_receivers_sockets(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    mine, his = await world.device(await world.token(ann), device_id="mine"), await world.page(await world.token(bob))
    with followed() as lines:
        mine.say({"event": "message.send", "id": "1", "trace_id": TRACE, "payload": draft(bob)})
        await his.has("hello")
        await eventually(lambda: named(lines, "push taken by a node"))
    told = [line for line in lines if line.get("trace_id") == TRACE]
    assert {line["event"] for line in told} == {
        "request done", "message appended", "push handed to delivery", "push located", "push at its sockets",
        "push taken by a node",
    }  # fmt: skip
    (done,), (put,) = named(told, "request done"), named(told, "push at its sockets")
    assert (done["event_name"], done["uid"], done["device_id"], done["error"]) == ("message.send", ann, "mine", None)
    assert (put["sessions"], put["seq"]) == (1, named(told, "message appended")[0]["seq"])


async def test_what_comes_of_an_effect_has_the_trace_of_its_request(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    with followed() as lines:
        page = await world.page(await world.token(ann))
        answer = await page.ask("message.send", draft(bob))
        page.say({"event": "message.recall", "id": "2", "trace_id": TRACE, "payload": {
            "talk_mode": 1, "to_from_id": bob, "msg_id": answer["payload"]["msg_id"]}})  # fmt: skip
        await eventually(lambda: [line for line in named(lines, "push located") if line["trace_id"] == TRACE])


async def test_a_failed_request_is_told_and_counted(world: SocketWorld) -> None:
    page = await world.page(await world.token(await world.user("ann")))
    before = readings(world)
    with followed() as lines:
        page.say({"event": "message.send", "id": "1", "trace_id": TRACE, "payload": {"to_from_id": "nobody"}})
        await eventually(lambda: named(lines, "request done"))
    (line,) = named(lines, "request done")
    assert (line["error"], line["trace_id"]) == ("request.invalid", TRACE)
    after = readings(world)
    assert after["xinyu_ws_request_failures_total"] == before["xinyu_ws_request_failures_total"] + 1
    assert after["xinyu_ws_frames_total"] == before["xinyu_ws_frames_total"] + 1


async def test_a_push_is_timed_from_its_commit(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    page = await world.page(await world.token(bob))
    seconds = readings(world)["xinyu_ws_push_seconds"]
    assert isinstance(seconds, Histogram)
    count, total = sum(seconds.counts), seconds.total
    await world.send(ann, bob, "hello")
    await page.has("hello")
    assert sum(seconds.counts) == count + 1
    assert 0 <= seconds.total - total < 5


async def test_a_bad_token_is_counted(world: SocketWorld) -> None:
    before = readings(world)["xinyu_auth_failures_total"]
    assert await world.dial("no token").closed() == 1000
    assert readings(world)["xinyu_auth_failures_total"] == before + 1  # type: ignore[operator]  # a counter
