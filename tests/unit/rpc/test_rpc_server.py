"""Who gets in, what a bad peer can do to others, and leaving."""

from __future__ import annotations

import asyncio
import os
import random
import socket

import pytest
from structlog.testing import capture_logs

from testkit.logs import followed, named
from testkit.rpc import SETTINGS, Probe, calling, dispatcher_of, identity, probe, serving
from testkit.waiting import eventually
from xinyu.kernel.errors import Unavailable, XinyuError
from xinyu.rpc.client import NotSent, dial
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.handshake import DiallingHandshake
from xinyu.rpc.server import DRAINING, RpcServer
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.wire import FrameDecoder, Notify, encode_notify, encode_request
from xinyu.telemetry.trace import adopt_trace, begin_trace

IMPATIENT = RpcSettings(connect_seconds=0.1)


async def raw(server: RpcServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.address.rsplit(":", 1)
    return await asyncio.open_connection(host, int(port))


async def everything(reader: asyncio.StreamReader) -> bytes:
    """All until the server hangs up."""
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""


async def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    async with serving(Probe()) as server:
        assert server.address.startswith("127.0.0.1:")
    listening = socket.create_server(("127.0.0.1", 0))
    given = RpcServer(Dispatcher(), SETTINGS, identity("server"))
    await given.start(sock=listening)
    assert given.address == f"127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(OSError, match="in use"):
        await RpcServer(Dispatcher(), SETTINGS, identity()).start(port=int(given.address.rsplit(":", 1)[1]))
    await given.close()
    await given.close()


async def test_who_does_not_know_the_secret_gets_nothing() -> None:
    service = Probe()
    async with serving(service) as server:
        with capture_logs() as lines, pytest.raises(NotSent, match="is the secret the same"):
            await dial(server.address, SETTINGS, identity("stranger", secret=b"some other secret entirely"))
        (line,) = [line for line in lines if line["log_level"] == "warning"]
        assert line["address"].startswith("127.0.0.1:")
        assert "secret" in line["reason"]
        assert "some other" not in repr(lines)
        assert server.counts.bad_peers == 1
        assert server.counts.calls == 0


async def test_a_server_that_does_not_know_it_is_sent_no_call() -> None:
    service = Probe()
    async with serving(service, me=identity("server", secret=b"some other secret entirely")) as server:
        async with calling(RpcSettings(retry_attempts=2)) as client:
            with pytest.raises(Unavailable):
                await probe(client, server.address).echo("x")
        assert service.echoed == 0


async def test_a_server_that_only_pretends_is_found_out() -> None:
    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode_notify(1, "", b'{"version":1,"nonce":"%s"}' % (b"0" * 64)))
        await reader.read(1000)
        writer.write(encode_notify(3, "", b'{"node":"server","epoch":1,"gzip":false,"proof":"%s"}' % (b"0" * 64)))
        await reader.read(1000)
        writer.close()
        over.set()

    over = asyncio.Event()
    impostor = await asyncio.start_server(pretend, "127.0.0.1", 0)
    port = impostor.sockets[0].getsockname()[1]
    with pytest.raises(NotSent, match="no node of this cluster"):
        await dial(f"127.0.0.1:{port}", SETTINGS, identity())
    await over.wait()
    impostor.close()


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        encode_request(1, 901, "", b'{"text":"x"}'),
        encode_notify(2, "", b"{}"),
        encode_notify(2, "", b"x" * 2000),
        encode_notify(2, "", b'{"x":' + b"[" * 1010),
        encode_notify(7, "", b'{"sn":1}'),
        b"\xab\xcd\x01\x01\x00\x00\x00\x10" + b"x" * 16,
        os.urandom(300),
    ],
    ids=["http", "call", "empty", "long", "deep", "cancel", "gzip", "noise"],
)
async def test_bad_beginnings_are_refused_and_logged_and_others_unharmed(first: bytes) -> None:
    service = Probe()
    async with serving(service) as server, calling() as client:
        port = probe(client, server.address)
        waiting = asyncio.ensure_future(port.wait("a"))
        await eventually(lambda: service.started == ["a"])
        reader, writer = await raw(server)
        with capture_logs() as lines:
            writer.write(first)
            answer = await everything(reader)
        own = "{}:{}".format(*writer.get_extra_info("sockname"))
        assert [line["address"] for line in lines if "bytes are no node" in line["event"]] == [own]
        (challenge,) = FrameDecoder().feed(answer) or [Notify(1, "", b"")]
        assert isinstance(challenge, Notify)
        assert challenge.notify == 1
        writer.close()
        service.gate("a").set()
        assert await waiting == "a"
        assert (server.counts.bad_peers, service.echoed, client.counts.connects) == (1, 0, 1)


async def test_an_authenticated_peer_that_turns_to_noise_is_cut_off_alone() -> None:
    service, noise = Probe(), random.Random(7)
    async with serving(service) as server, calling() as client:
        port = probe(client, server.address)
        assert await port.echo("x") == "x"
        for _ in range(20):
            connection = await dial(server.address, SETTINGS, identity("noisy"))
            call = asyncio.create_task(connection.call(902, "", b'{"name":"a"}'))
            await asyncio.sleep(0)
            connection.send(noise.randbytes(noise.randrange(8, 2000)))
            with pytest.raises(Unavailable):
                await call
        assert await port.echo("x") == "x"
        assert client.counts.connects == 1
        await eventually(lambda: server.counts.in_flight == 0)
        assert server.counts.bad_peers == 20


async def test_a_cancellation_that_cannot_be_read_is_no_rock() -> None:
    async with serving(Probe()) as server:
        for body in (b'{"x":' + b"[" * 5000, b'{"sn":"\xff"}', b"7"):
            connection = await dial(server.address, SETTINGS, identity())
            connection.send(encode_notify(7, "", body))
            await asyncio.wait_for(connection.wait_closed(), 5)
        assert server.counts.bad_peers == 3


async def test_a_number_in_flight_twice_is_no_rock() -> None:
    async with serving(Probe()) as server:
        connection = await dial(server.address, SETTINGS, identity())
        for _ in range(2):
            connection.send(encode_request(5, 902, "", b'{"name":"a"}'))
        await asyncio.wait_for(connection.wait_closed(), 5)
        assert server.counts.bad_peers == 1


async def test_silence_before_the_proof_is_bounded() -> None:
    async with serving(Probe(), IMPATIENT) as server:
        reader, writer = await raw(server)
        assert len(await everything(reader)) < 200
        writer.close()
    silent = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with pytest.raises(NotSent, match="in time"):
        await dial(f"127.0.0.1:{port}", IMPATIENT, identity())
    silent.close()


async def test_connections_are_bounded() -> None:
    async with serving(Probe(), RpcSettings(connections=2)) as server:
        first, second = [await dial(server.address, SETTINGS, identity()) for _ in range(2)]
        with pytest.raises(NotSent):
            await dial(server.address, SETTINGS, identity())
        assert server.counts.turned_away == 1
        first.close()
        await first.wait_closed()
        await eventually(
            lambda: ("xinyu_rpc_server_connections", 1) in [(name, value) for name, _, value in server.readings()]
        )
        third = await dial(server.address, SETTINGS, identity())
        assert (await third.call(901, "", b'{"text":"x"}')).result == 200
        second.close()
        third.close()


async def test_peers_learn_who_the_others_are() -> None:
    async with serving(Probe(), me=identity("message-1", 77)) as server:
        connection = await dial(server.address, SETTINGS, identity())
        assert connection.peer is not None
        assert (connection.peer.node, connection.peer.epoch) == ("message-1", 77)
        connection.close()


async def test_without_an_identity_anybody_may_call_and_nothing_of_ours_is_sent() -> None:
    server = RpcServer(dispatcher_of(), SETTINGS, None)
    await server.start()
    reader, writer = await raw(server)
    writer.write(bytes.fromhex("abcd0100000000100101cc010174097b22756964223a377d"))
    (answer,) = FrameDecoder().feed(await reader.read(1000))
    assert answer.__class__.__name__ == "Response"
    writer.write(encode_notify(9, "t", b"{}"))
    writer.write(encode_request(2, 101, "", b"{}"))
    assert len(FrameDecoder().feed(await reader.read(1000))) == 1
    assert await server.drain(1.0)
    await server.close()
    assert await everything(reader) == b""
    writer.close()


async def test_draining_finishes_what_runs_and_takes_nothing_new() -> None:
    service = Probe()
    async with serving(service) as server:
        connection = await dial(server.address, SETTINGS, identity())
        call = asyncio.create_task(connection.call(902, "", b'{"name":"a"}'))
        await eventually(lambda: service.started == ["a"])
        draining = asyncio.create_task(server.drain(5.0))
        await eventually(lambda: connection.leaving)
        with pytest.raises(NotSent):
            await connection.call(901, "", b'{"text":"x"}')
        with pytest.raises(NotSent):
            await dial(server.address, SETTINGS, identity())
        assert not draining.done()
        service.gate("a").set()
        assert (await call).body == b'"a"'
        assert await draining
        await asyncio.wait_for(connection.wait_closed(), 5)


async def test_a_call_that_crosses_the_news_is_answered_as_not_run() -> None:
    service = Probe()
    async with serving(service) as server:
        connection = await dial(server.address, SETTINGS, identity())
        server.draining = True
        answer = await connection.call(901, "", b'{"text":"x"}')
        assert (answer.result, answer.result_str, service.echoed) == (503, DRAINING, 0)
        connection.close()


async def test_draining_is_bounded_and_closing_calls_off_the_rest() -> None:
    service = Probe()
    async with serving(service) as server:
        connection = await dial(server.address, SETTINGS, identity())
        call = asyncio.create_task(connection.call(902, "", b'{"name":"never"}'))
        await eventually(lambda: service.started == ["never"])
        assert not await server.drain(0.02)
        await server.close()
        with pytest.raises(Unavailable):
            await call
        await eventually(lambda: service.cancelled == ["never"])
        assert server.counts.in_flight == 0


async def test_a_caller_that_dies_has_its_calls_called_off() -> None:
    service = Probe()
    async with serving(service) as server:
        connection = await dial(server.address, SETTINGS, identity())
        call = asyncio.create_task(connection.call(902, "", b'{"name":"a"}'))
        await eventually(lambda: service.started == ["a"])
        connection.abort("killed")
        with pytest.raises(Unavailable):
            await call
        await eventually(lambda: service.cancelled == ["a"])
        await eventually(lambda: server.counts.in_flight == 0)


def test_a_hello_needs_a_challenge_of_its_own() -> None:
    with pytest.raises(Exception, match="nonce"):
        DiallingHandshake(identity(), gzip=False).hello(Notify(1, "", b'{"version":1,"nonce":"00"}'))


async def test_calls_are_told_with_their_callers_trace_and_counted() -> None:
    async with serving(Probe()) as server, calling() as client:
        stub = probe(client, server.address)
        begin_trace("abc-123")
        with followed() as lines:
            await stub.echo("x")
            with pytest.raises(XinyuError):
                await stub.fail("internal")
        adopt_trace("")
        well, badly = named(lines, "call served")
    assert (well["method"], well["result"], well["node"]) == ("ProbePort.echo", 200, "caller")
    assert {well["trace_id"], badly["trace_id"]} == {"abc-123"}
    assert (badly["result"], badly["error"]) == (500, "internal.error")
    readings = {name: value for name, _, value in server.readings()}
    assert (readings["xinyu_rpc_server_calls_total"], readings["xinyu_rpc_server_failed_total"]) == (2, 1)
