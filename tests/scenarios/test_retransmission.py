"""Pushes to web clients are repeated until they are acked (CONTRACT.md section 2; G4). That lies between a gateway and
its sockets, so it is told of one process and of many alone."""

from __future__ import annotations

import pytest

from testkit.people import Town
from testkit.raw_sockets import raw_socket
from testkit.waiting import eventually

pytestmark = pytest.mark.scenario
SHAPES = ("monolith", "stage4")
SETTINGS = {"gateway": {"retransmit_seconds": 0.3}}


async def test_a_push_is_repeated_with_the_same_ackid_until_it_is_acked(town: Town) -> None:
    ann, bob = await town.people("Ann", "Bob")
    sender = await ann.device()
    async with raw_socket(bob, await bob.log_in("web")) as raw:
        sent = await sender.client.send_text(bob.talk, "hello?")
        ackid = f"{sent.talk_id}.{sent.seq}"
        await eventually(lambda: [f["ackid"] for f in raw.named("im.message")] == [ackid] * 2, 8)
        assert raw.named("im.message")[0] == raw.named("im.message")[1]
        await raw.send({"event": "ack", "ackid": ackid})
        await sender.client.send_text(bob.talk, "thank you")
        await eventually(lambda: raw.copies("thank you"))
        repeated = raw.copies("hello?")
        await eventually(lambda: raw.copies("thank you") > 1, 8)
        assert raw.copies("hello?") == repeated


async def test_a_client_that_never_acks_is_given_up_on_and_loses_nothing(town: Town) -> None:
    """Ack-less (it pings, but answers none of three repetitions): its cursor moves on write, so a reconnect repeats
    nothing."""
    ann, bob, cleo = await town.people("Ann", "Bob", "Cleo")
    token, sender = await bob.log_in("web"), await ann.device()
    async with raw_socket(bob, token) as raw, raw_socket(cleo, await cleo.log_in("web")) as clock:
        await sender.client.send_text(bob.talk, "first")
        await eventually(lambda: raw.copies("first") == 4, 15)  # once, and three times again
        await raw.send({"event": "ping"})
        sent = await sender.client.send_text(cleo.talk, "acked")
        await eventually(lambda: clock.copies("acked"))
        await clock.send({"event": "ack", "ackid": f"{sent.talk_id}.{sent.seq}"})
        await sender.client.send_text(cleo.talk, "tick")  # whoever acked once is repeated to: what shows time passing
        await eventually(lambda: clock.copies("tick") == 3, 8)
        await sender.client.send_text(bob.talk, "second")
        await eventually(lambda: clock.copies("tick") == 6, 8)
        assert (raw.copies("first"), raw.copies("second")) == (4, 1)
    await sender.client.send_text(bob.talk, "while away")
    async with raw_socket(bob, token) as again:
        await eventually(lambda: again.copies("while away"))
        assert again.copies("first") + again.copies("second") == 0
