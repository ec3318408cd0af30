"""The raw web client (scripts/webclient.py) against a whole process: what it shows and its badges end right (G6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from testkit.sockets import SocketWorld, socket_world
from testkit.waiting import eventually
from webclient import Pace, WebClient

QUICK = Pace(scale=0.02, post_timeout=500, heartbeat=1000)

pytestmark = pytest.mark.whole


@asynccontextmanager
async def web(world: SocketWorld, token: str) -> AsyncIterator[WebClient]:
    """A page that is loaded and connected."""
    process = world.process
    async with WebClient(process.url("http"), f"{process.url('ws')}/wss/default.io", token, pace=QUICK) as client:
        await client.start()
        await eventually(lambda: "connect" in [frame["event"] for frame in client.frames])
        yield client


def texts(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SocketWorld]:
    async with socket_world(tmp_path, ack_window_frames=8) as made:
        yield made


async def test_a_page_that_is_loaded_again_counts_each_message_once(world: SocketWorld) -> None:
    """session-list answers with the unread at the device's cursor, and the pushes of the catch-up add the rest."""
    ann, bob = await world.friends("ann", "bob")
    token, dialogue = await world.token(ann), (1, bob)
    await world.send(bob, ann, "1")
    async with web(world, token) as page:
        assert page.badges[dialogue] == 1
        await world.send(bob, ann, "2")
        await eventually(lambda: page.badges[dialogue] == 2)
    await eventually(lambda: not world.hub.of_user(ann))
    for text in texts(3, 15):
        await world.send(bob, ann, text)
    async with web(world, token) as page:
        await eventually(lambda: page.texts(*dialogue) == texts(3, 15))
        assert page.badges[dialogue] == 15
        await world.send(bob, ann, "16")
        await eventually(lambda: page.badges[dialogue] == 16)
        await page.open(*dialogue)
        assert page.texts(*dialogue) == texts(1, 16)
    await eventually(lambda: not world.hub.of_user(ann))
    async with web(world, token) as page:
        await world.quiet()
        assert page.badges[dialogue] == 0


async def test_a_page_that_reconnects_shows_each_message_once(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token, dialogue = await world.token(ann), (1, bob)
    async with web(world, token) as page:
        await world.send(bob, ann, "1")
        await eventually(lambda: page.texts(*dialogue) == ["1"])
        [connection] = world.hub.of_user(ann)
        assert page._socket is not None
        page._socket.transport.abort()
        for text in texts(2, 12):
            await world.send(bob, ann, text)
        await eventually(lambda: page.opens == 2 and page.texts(*dialogue) == texts(1, 12))
        assert page.badges[dialogue] == 12
        assert connection not in world.hub.of_user(ann)


async def test_a_list_that_is_read_again_in_the_middle_of_a_catch_up(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token, dialogue = await world.token(ann), (1, bob)
    async with web(world, token):
        pass
    await eventually(lambda: not world.hub.of_user(ann))
    for text in texts(1, 6):
        await world.send(bob, ann, text)
    await world.notify(ann)
    for text in texts(7, 12):
        await world.send(bob, ann, text)
    async with web(world, token) as page:
        await eventually(lambda: "im.session.reload" in [frame["event"] for frame in page.frames])
        await eventually(lambda: page.texts(*dialogue) == texts(1, 12))
        await eventually(lambda: page.badges[dialogue] == 12)


async def test_a_dialogue_that_began_while_the_page_was_away(world: SocketWorld) -> None:
    ann, cid = await world.user("ann"), await world.user("cid")
    token = await world.token(ann)
    async with web(world, token):
        pass
    await eventually(lambda: not world.hub.of_user(ann))
    await world.befriend(ann, cid)
    for text in texts(1, 3):
        await world.send(cid, ann, text)
    async with web(world, token) as page:
        await eventually(lambda: page.texts(1, cid) == texts(1, 3))
        assert page.badges[1, cid] == 3


async def test_pages_of_two_log_ins_count_each_for_itself(world: SocketWorld) -> None:
    ann, bob = await world.friends("ann", "bob")
    token, other = await world.token(ann), await world.token(ann)
    for page_token in (token, other):
        async with web(world, page_token):
            pass
    await eventually(lambda: not world.hub.of_user(ann))
    await world.send(ann, bob, "own")
    for text in texts(1, 2):
        await world.send(bob, ann, text)
    async with web(world, other) as page:
        await eventually(lambda: len(page.texts(1, bob)) == 3)
        assert page.badges[1, bob] == 2
    await eventually(lambda: not world.hub.of_user(ann))
    await world.send(bob, ann, "3")
    for page_token, shown in ((other, 1), (token, 4)):
        async with web(world, page_token) as page:
            await eventually(lambda shown=shown, page=page: len(page.texts(1, bob)) == shown)
            assert page.badges[1, bob] == 3


async def test_a_page_whose_login_ends_stops(world: SocketWorld) -> None:
    ann = await world.user("ann")
    async with web(world, await world.token(ann)) as page:
        await page.post("auth/logout")
        await eventually(lambda: page.stopped)
        assert page.opens == 1


async def test_a_catch_up_that_is_cut_makes_the_page_read_its_list_again(tmp_path: Path) -> None:
    async with socket_world(tmp_path, catch_up_limit=5) as world:
        ann, bob = await world.friends("ann", "bob")
        token, dialogue = await world.token(ann), (1, bob)
        async with web(world, token):
            pass
        await eventually(lambda: not world.hub.of_user(ann))
        for text in texts(1, 9):
            await world.send(bob, ann, text)
        async with web(world, token) as page:
            await eventually(lambda: page.texts(*dialogue) == texts(5, 9))
            await eventually(lambda: page.badges[dialogue] == 9)
