"""Calls over one connection: answers, deadlines, cancellation, limits, trace ids."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import cast

import pytest

from testkit.rpc import SETTINGS, Probe, Relay, calling, identity, probe, serving
from testkit.tls import self_signed
from testkit.waiting import eventually
from xinyu.kernel.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable, XinyuError
from xinyu.rpc.client import dial
from xinyu.rpc.connection import CANCEL
from xinyu.rpc.deadline import within
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.wire import encode_notify
from xinyu.telemetry.trace import begin_trace, current_trace_id


async def cancelled(task: asyncio.Task[str]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def soon(call: Awaitable[str]) -> asyncio.Task[str]:
    async def run() -> str:
        return await call

    return asyncio.create_task(run())


DEEP = b'{"text":' * 5000
"""Deeper than a reader may recurse."""


async def test_answers_come_in_any_order_over_one_connection() -> None:
    service = Probe()
    async with serving(service) as server, calling() as client:
        port = probe(client, server.address)
        waiting = [soon(port.wait(name)) for name in "abc"]
        await eventually(lambda: len(service.started) == 3)
        assert await port.echo("x", times=3) == "xxx"
        for task, name in zip(reversed(waiting), "cba", strict=True):
            service.gate(name).set()
            assert await task == name
        assert client.counts.connects == 1
        assert server.counts.in_flight == client.in_flight(server.address) == 0


async def test_many_at_once_and_large_ones_apart() -> None:
    async with serving(Probe()) as server, calling() as client:
        port = probe(client, server.address)
        answers = await asyncio.gather(*(port.echo(str(n)) for n in range(500)), port.echo("y" * 100_000))
        assert answers == [*map(str, range(500)), "y" * 100_000]
        assert client.counts.connects == 2
        assert await port.echo("z", times=2_000_000) == "z" * 2_000_000


async def test_several_connections_share_the_calls() -> None:
    service = Probe()
    async with serving(service) as server, calling(RpcSettings(connections_per_target=3)) as client:
        port = probe(client, server.address)
        waiting = [soon(port.wait("gate")) for _ in range(9)]
        await eventually(lambda: len(service.started) == 9)
        service.gate("gate").set()
        assert await asyncio.gather(*waiting) == ["gate"] * 9
        for _ in range(6):
            waiting = [soon(port.wait("gate")) for _ in range(9)]
            await asyncio.gather(*waiting)
        assert 1 <= client.counts.connects <= 3


async def test_errors_are_raised_as_they_were_there() -> None:
    async with serving(Probe()) as server, calling() as client:
        port = probe(client, server.address)
        with pytest.raises(InvalidInput, match="not like this") as invalid:
            await port.fail("invalid")
        assert invalid.value.details == {"field": "how"}
        with pytest.raises(Unavailable, match="my database"):
            await port.fail("unavailable")
        assert client.counts.retries == 0, "the service said so: that is no transport trouble"
        with pytest.raises(XinyuError) as crash:
            await port.fail("unforeseen")
        assert crash.value.code == "internal.error"
        assert "unforeseen" not in crash.value.message


async def test_trace_and_deadline_travel() -> None:
    async with serving(Probe()) as server, calling() as client:
        port = probe(client, server.address)
        trace_id = begin_trace()
        with within(1.5):
            found = await port.context()
        assert found.trace_id == trace_id == current_trace_id()
        assert found.seconds_left is not None
        assert 1.0 < found.seconds_left <= 1.5
        without = await asyncio.create_task(port.context())
        assert without.seconds_left is not None
        assert 4.0 < without.seconds_left <= SETTINGS.call_seconds
        begin_trace("a-1")
        assert (await port.context()).trace_id == "a-1"


async def test_a_slow_callee_is_left_at_the_deadline_and_called_off() -> None:
    service = Probe()
    async with serving(service) as server, calling() as client:
        port = probe(client, server.address)
        begin = time.monotonic()
        with within(0.05), pytest.raises(DeadlineExceeded):
            await port.wait("never")
        assert 0.04 < time.monotonic() - begin < 1.0
        await eventually(lambda: service.cancelled == ["never"])
        await eventually(lambda: server.counts.in_flight == 0)
        assert await port.echo("on") == "on"
        with within(0.0), pytest.raises(DeadlineExceeded):
            await port.echo("not sent")
        assert service.echoed == 1


async def test_the_server_ends_what_is_overdue_by_itself() -> None:
    service = Probe()
    async with serving(service) as server:
        connection = await dial(server.address, SETTINGS, identity())
        answer = await connection.call(902, "", b'{"$deadline_ms":30,"name":"never"}')
        assert (answer.result, answer.result_str) == (504, "transport.deadline")
        await eventually(lambda: server.counts.in_flight == 0)
        assert service.cancelled == ["never"]
        assert server.counts.expired == 1
        answer = await connection.call(901, "", b'{"text":"x","$deadline_ms":0}')
        assert (answer.result_str, service.echoed) == ("transport.deadline", 0)
        connection.close()


async def test_cancelling_a_call_cancels_it_there() -> None:
    service = Probe()
    async with serving(service) as server, calling() as client:
        port = probe(client, server.address)
        task = soon(port.wait("a"))
        await eventually(lambda: service.started == ["a"])
        await cancelled(task)
        await eventually(lambda: service.cancelled == ["a"])
        assert server.counts.called_off == 1
        assert client.in_flight(server.address) == 0
        assert await port.echo("on") == "on"


async def test_cancelled_before_its_first_step_is_over_too() -> None:
    async with serving(Probe()) as server:
        connection = await dial(server.address, SETTINGS, identity())
        call = asyncio.create_task(connection.call(902, "", b'{"name":"a"}'))
        await asyncio.sleep(0)
        connection.send(encode_notify(CANCEL, "", b'{"sn":1}'))
        connection.send(encode_notify(CANCEL, "", b'{"sn":77}'))
        await eventually(lambda: server.counts.called_off == 1)
        await eventually(lambda: server.counts.in_flight == 0)
        call.cancel()
        connection.close()


async def test_the_server_refuses_what_it_cannot_run_at_once() -> None:
    service = Probe()
    async with serving(service, RpcSettings(concurrent_calls=2)) as server, calling() as client:
        port = probe(client, server.address)
        waiting = [soon(port.wait(name)) for name in "ab"]
        await eventually(lambda: len(service.started) == 2)
        with pytest.raises(Overloaded) as refused:
            await port.echo("x")
        assert refused.value.retry_after_ms
        service.gate("a").set()
        service.gate("b").set()
        assert await asyncio.gather(*waiting) == ["a", "b"]
        assert await port.echo("x") == "x"
        assert server.counts.refused == 1


async def test_the_caller_refuses_what_would_wait_too_long() -> None:
    service = Probe()
    async with serving(service) as server, calling(RpcSettings(calls_per_connection=2)) as client:
        port = probe(client, server.address)
        waiting = [soon(port.wait(name)) for name in "ab"]
        await eventually(lambda: len(service.started) == 2)
        with pytest.raises(Overloaded) as refused:
            await port.echo("x")
        assert refused.value.retry_after_ms
        assert client.counts.refused == 1
        for task in waiting:
            await cancelled(task)


async def test_bytes_for_a_peer_that_reads_nothing_are_bounded() -> None:
    settings = RpcSettings(pending_bytes=1_000_000)
    deaf = Deaf()
    stuck = await asyncio.get_running_loop().create_server(lambda: deaf, "127.0.0.1", 0)
    address = f"127.0.0.1:{stuck.sockets[0].getsockname()[1]}"
    connection = await dial(address, settings, None)
    body = b'{"text":"' + b"x" * 500_000 + b'"}'
    calls = [asyncio.create_task(connection.call(901, "", body)) for _ in range(100)]
    done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
    assert all(isinstance(task.exception(), Overloaded) for task in done)
    assert len(done) > 50
    assert connection.pending_bytes < 1_000_000 + len(body) + 100
    connection.abort("the test is over")
    for task in waiting:
        with pytest.raises(Unavailable):
            await task
    assert deaf.transport is not None
    deaf.transport.abort()
    stuck.close()


class Deaf(asyncio.Protocol):
    """Accepts and reads nothing."""

    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()


async def test_who_does_not_read_answers_is_not_read_either() -> None:
    service = Probe()
    async with serving(service) as server, Relay(server.address) as relay:
        connection = await dial(relay.address, SETTINGS, identity())
        connection.pause_reading()
        calls = [
            asyncio.create_task(connection.call(901, "", b'{"text":"0123456789","times":20000}')) for _ in range(1000)
        ]
        served = -1

        def settled() -> bool:
            nonlocal served
            before, served = served, service.echoed
            return served == before

        await eventually(settled)
        assert service.echoed < 1000
        connection.resume_reading()
        answers = await asyncio.gather(*calls)
        assert {len(answer.body) for answer in answers} == {200_002}
        connection.close()


async def test_unknown_commands_and_bad_bodies_leave_the_connection_open() -> None:
    async with serving(Probe()) as server:
        connection = await dial(server.address, SETTINGS, identity())
        unknown = await connection.call(999, "t", b"{}")
        assert (unknown.result, unknown.result_str, unknown.command, unknown.trace_id) == (
            404,
            "rpc.unhandled",
            999,
            "t",
        )
        for body in (b"", b"[", b'{"text":7}', b"{}", b'{"$deadline_ms":"x","text":"y"}', DEEP, b'{"text":"\xff"}'):
            assert (await connection.call(901, "", body)).result == 400
        connection.send(encode_notify(99, "", b"whatever"))
        assert (await connection.call(901, "", b'{"text":"on","unknown":1}')).body == b'"on"'
        connection.close()


async def test_gzip_goes_to_those_who_want_it() -> None:
    for wants in (True, False):
        settings = RpcSettings(gzip=wants)
        async with serving(Probe(), settings) as server, Relay(server.address) as relay, calling(settings) as client:
            port = probe(client, relay.address)
            assert await port.echo("x" * 100_000) == "x" * 100_000
            assert (relay.upstream_bytes < 10_000) == wants


async def test_silent_peers_are_asked_and_given_up() -> None:
    settings = RpcSettings(keepalive_seconds=0.05, idle_seconds=100.0)
    service = Probe()
    async with serving(service, settings) as server, Relay(server.address) as relay:
        connection = await dial(relay.address, settings, identity())
        call = asyncio.create_task(connection.call(902, "", b'{"name":"a"}'))
        await eventually(lambda: service.started == ["a"])
        before = relay.upstream_bytes
        await eventually(lambda: relay.upstream_bytes >= before + 60)
        assert connection.is_open, "both sides answer pings"
        relay.swallow_answers = True
        with pytest.raises(Unavailable, match="silent"):
            await call


async def test_connections_that_nobody_uses_are_closed() -> None:
    settings = RpcSettings(keepalive_seconds=0.02, idle_seconds=0.1)
    async with serving(Probe(), settings) as server, calling(settings) as client:
        port = probe(client, server.address)
        assert await port.echo("x") == "x"
        await eventually(lambda: not any(value for name, _, value in client.readings() if name.endswith("connections")))
        assert await port.echo("again") == "again"
        assert client.counts.connects == 2


async def test_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with serving(Probe(), tls=inside) as server:
        async with calling(tls=trusting) as client:
            assert await probe(client, server.address).echo("secret") == "secret"
        wary = RpcSettings(retry_attempts=1, connect_seconds=0.3)
        async with calling(wary, tls=ssl.create_default_context()) as client:
            with pytest.raises(Unavailable, match="certificate"):
                await probe(client, server.address).echo("secret")
        async with calling(wary) as client:
            with pytest.raises(Unavailable):
                await probe(client, server.address).echo("plain")
