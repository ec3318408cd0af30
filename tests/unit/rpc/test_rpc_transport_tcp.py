"""Trouble between processes: what is tried again, where, how often, and what is not."""

from __future__ import annotations

import asyncio

import pytest

from testkit.placement import free_port
from testkit.rpc import SETTINGS, InOrder, Probe, ProbePort, Relay, calling, identity, probe, serving
from testkit.waiting import eventually
from xinyu.kernel.errors import DeadlineExceeded, Unavailable
from xinyu.rpc.client import NotSent
from xinyu.rpc.deadline import within
from xinyu.rpc.pool import RpcClient, Target
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_tcp import FixedPicker, TcpTransport

QUICK = RpcSettings(
    retry_first_seconds=0.005,
    retry_longest_seconds=0.02,
    reconnect_first_seconds=0.001,
    reconnect_longest_seconds=0.01,
    breaker_first_seconds=0.05,
    breaker_longest_seconds=0.1,
)


def reading(client: RpcClient, name: str) -> float:
    return {known: value for known, _, value in client.readings()}[f"xinyu_rpc_client_{name}"]


async def lose_the_answer(service: Probe, relay: Relay, call: asyncio.Future[object]) -> None:
    """Cut the network once the call has run."""
    await eventually(lambda: service.total or service.started)
    relay.cut()
    relay.swallow_answers = False


async def test_a_lost_answer_is_asked_for_again_where_twice_is_as_good_as_once() -> None:
    service = Probe()
    async with serving(service) as server, Relay(server.address) as relay, calling(QUICK) as client:
        port = probe(client, relay.address)
        assert await port.echo("connected") == "connected"
        relay.swallow_answers = True
        call = asyncio.ensure_future(port.wait("a"))
        await lose_the_answer(service, relay, call)
        service.gate("a").set()
        assert await call == "a"
        assert service.started == ["a", "a"]
        assert (client.counts.retries, client.counts.failures, relay.connections) == (1, 1, 2)


async def test_a_lost_answer_is_not_asked_for_again_otherwise() -> None:
    service = Probe()
    async with serving(service) as server, Relay(server.address) as relay, calling(QUICK) as client:
        port = probe(client, relay.address)
        assert await port.echo("connected") == "connected"
        relay.swallow_answers = True
        call = asyncio.ensure_future(port.add(5))
        await lose_the_answer(service, relay, call)
        with pytest.raises(Unavailable) as lost:
            await call
        assert not isinstance(lost.value, NotSent), "it has run"
        assert service.total == 5
        assert client.counts.retries == 0
        assert await port.add(1) == 6


async def test_what_was_never_sent_goes_elsewhere_whatever_it_is() -> None:
    service = Probe()
    settings = RpcSettings(reconnect_first_seconds=1.0)
    async with serving(service) as server, calling(settings) as client:
        nobody = f"127.0.0.1:{free_port()}"
        assert await probe(client, nobody, server.address).add(5) == 5
        assert service.total == 5
        assert client.counts.connect_failures == 1
        assert client.resting(nobody)
        assert not client.resting(server.address)


async def test_a_node_that_leaves_hands_its_calls_to_the_next() -> None:
    old, new = Probe(), Probe()
    async with serving(old) as first, serving(new) as second, calling(QUICK) as client:
        port = probe(client, first.address, second.address)
        assert await port.add(1) == 1
        first.draining = True  # and the news has not arrived
        assert await port.add(10) == 10
        assert (old.total, new.total) == (1, 10)
        assert await first.drain(1.0)
        assert await asyncio.gather(*(port.add(1) for _ in range(5))) == [11, 12, 13, 14, 15]


async def test_a_killed_peer_fails_its_calls_at_once_and_is_found_again() -> None:
    service = Probe()
    async with serving(service) as server, Relay(server.address) as relay, calling(QUICK) as client:
        port = probe(client, relay.address)
        calls = [asyncio.ensure_future(port.add(1)) for _ in range(3)]
        await asyncio.gather(*calls)
        relay.swallow_answers = True
        calls = [asyncio.ensure_future(port.add(1)) for _ in range(20)]
        await eventually(lambda: service.total == 23)
        relay.cut()
        assert all(isinstance(error, Unavailable) for error in await asyncio.gather(*calls, return_exceptions=True))
        relay.swallow_answers = False
        assert await port.echo("back") == "back"
        assert client.in_flight(relay.address) == 0


async def test_waiting_for_a_restart() -> None:
    address_of_the_next = free_port()
    async with calling(RpcSettings(retry_attempts=50, retry_first_seconds=0.01, retry_longest_seconds=0.02)) as client:
        call = asyncio.ensure_future(probe(client, f"127.0.0.1:{address_of_the_next}").add(1))
        await eventually(lambda: client.counts.connect_failures >= 2)
        async with serving(Probe()) as other:
            assert other.address
            server = type(other)(other.dispatcher, SETTINGS, identity("server"))
            await server.start(port=address_of_the_next)
            assert await call == 1
            await server.close()


async def test_attempts_are_bounded() -> None:
    async with calling(QUICK.model_copy(update={"retry_attempts": 3})) as client:
        picker = InOrder([f"127.0.0.1:{free_port()}"])
        with pytest.raises(Unavailable, match=r"no connection|a moment ago"):
            await make_stub(ProbePort, TcpTransport(client, picker)).echo("x")
        assert picker.asked == 3
        nobody = InOrder([])
        with pytest.raises(Unavailable, match="nobody serves"):
            await make_stub(ProbePort, TcpTransport(client, nobody)).add(1)
        assert nobody.asked == 3


async def test_retries_stop_at_the_deadline() -> None:
    slow = RpcSettings(retry_first_seconds=10.0, retry_longest_seconds=10.0)
    async with calling(slow) as client:
        with within(1.0), pytest.raises(Unavailable):
            await probe(client, f"127.0.0.1:{free_port()}").echo("x")
        assert client.counts.retries == 1, "the first at once, the second would have been too late"


async def test_the_budget_bounds_what_trouble_adds() -> None:
    settings = QUICK.model_copy(update={"retry_burst": 5, "retry_share": 0.1})
    async with calling(settings) as client:
        port = probe(client, f"127.0.0.1:{free_port()}")
        for _ in range(50):
            with pytest.raises(Unavailable):
                await port.echo("x")
        assert client.counts.retries <= 5 + 50 * 0.1
        assert client.counts.retries_refused >= 40


async def test_a_target_that_never_answers_gets_a_rest_and_a_probe() -> None:
    service = Probe()
    settings = QUICK.model_copy(update={"breaker_failures": 3, "retry_attempts": 1, "breaker_first_seconds": 0.4})
    async with serving(service) as server, calling(settings) as client:
        port = probe(client, server.address)
        assert await port.echo("connected") == "connected"
        for _ in range(3):
            with within(0.02), pytest.raises(DeadlineExceeded):
                await port.wait("never")
        assert client.resting(server.address)
        assert (reading(client, "breaks_total"), reading(client, "resting")) == (1, 1)
        with pytest.raises(NotSent, match="rest"):
            await port.echo("x")
        assert service.echoed == 1
        await eventually(lambda: not client.resting(server.address))
        assert await port.echo("probe") == "probe"
        assert await asyncio.gather(*(port.echo("x") for _ in range(9))) == ["x"] * 9


async def test_errors_of_the_service_open_no_breaker() -> None:
    async with serving(Probe()) as server, calling(QUICK) as client:
        port = probe(client, server.address)
        for _ in range(20):
            with pytest.raises(Unavailable):
                await port.fail("unavailable")
        assert reading(client, "breaks_total") == 0


async def test_a_pinned_call_reaches_that_life_of_that_node_alone() -> None:
    service = Probe()
    async with serving(service, me=identity("gw-1", 7)) as server, calling(QUICK) as client:
        for node, epoch in (("gw-1", 7), ("gw-1", 0), ("", 7)):
            target = Target(server.address, node, epoch)
            assert await make_stub(ProbePort, TcpTransport(client, FixedPicker(target))).echo("x") == "x"
        for node, epoch in (("gw-1", 6), ("gw-2", 7)):
            target = Target(server.address, node, epoch)
            with pytest.raises(NotSent, match="gw-1 in epoch 7"):
                await make_stub(ProbePort, TcpTransport(client, FixedPicker(target))).echo("x")
        assert service.echoed == 3


async def test_connecting_is_shared_and_bounded_by_each_callers_deadline() -> None:
    silent = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    async with calling(RpcSettings(connect_seconds=0.2, retry_attempts=1)) as client:
        port = probe(client, address)

        async def hurried() -> str:
            with within(0.03):
                return await port.echo("x")

        patient = asyncio.ensure_future(port.echo("x"))
        failures = await asyncio.gather(*(hurried() for _ in range(5)), patient, return_exceptions=True)
        assert [type(error) for error in failures] == [DeadlineExceeded] * 5 + [NotSent]
        assert client.counts.connect_failures == 1
    silent.close()


async def test_after_closing_nothing_is_sent() -> None:
    service = Probe()
    async with serving(service) as server, calling(QUICK) as client:
        port = probe(client, server.address)
        waiting = asyncio.ensure_future(port.add(1))
        await waiting
        lost = asyncio.ensure_future(port.wait("a"))
        await eventually(lambda: service.started == ["a"])
        await client.close()
        await client.close()
        for call in (lost, port.echo("x")):
            with pytest.raises(Unavailable):
                await call
        assert reading(client, "connections") == 0


async def test_pickers_learn_what_is_in_flight() -> None:
    service = Probe()
    async with serving(service) as server, calling(QUICK) as client:
        picker = InOrder([f"127.0.0.1:{free_port()}", server.address])
        port = make_stub(ProbePort, TcpTransport(client, picker))
        waiting = [asyncio.ensure_future(port.wait(name)) for name in "ab"]
        await eventually(lambda: len(service.started) == 2)
        assert [target.address for target in picker.busy] == [server.address] * 2
        waiting[0].cancel()
        service.gate("b").set()
        assert await waiting[1] == "b"
        with pytest.raises(Exception, match="not like this"):
            await port.fail("invalid")
        await eventually(lambda: picker.busy == [])


async def test_calls_are_timed_by_method_and_outcome() -> None:
    seen: list[tuple[str, str]] = []
    async with serving(Probe()) as server, calling(QUICK) as client:
        transport = TcpTransport(
            client, FixedPicker(Target(server.address)), lambda label, outcome, _: seen.append((label, outcome))
        )
        port = make_stub(ProbePort, transport)
        await port.echo("x")
        with pytest.raises(Exception, match="not like this"):
            await port.fail("invalid")
        with within(0.01), pytest.raises(DeadlineExceeded):
            await port.wait("never")
    assert seen == [
        ("ProbePort.echo", "ok"),
        ("ProbePort.fail", "request.invalid"),
        ("ProbePort.wait", "transport.deadline"),
    ]
    assert reading(client, "calls_total") == 3


async def test_addresses_that_are_gone_are_forgotten() -> None:
    async with serving(Probe()) as server, calling(RpcSettings(retry_attempts=1)) as client:
        assert await probe(client, server.address).echo("x") == "x"
        for port in range(1, 200):
            with pytest.raises(Unavailable):
                await probe(client, f"127.0.0.1:{port}").echo("x")
        assert len(client._pools) <= 64
        assert await probe(client, server.address).echo("x") == "x"
        assert client.counts.connects == 1
