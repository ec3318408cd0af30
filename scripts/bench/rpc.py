#!/usr/bin/env python
"""What one RPC over loopback costs: `scripts/bench/rpc.py [--seconds 3] [--runs 3]`.

Calls per second with 100 in flight on one connection, the caller's processor time per call, the round trip of a single
caller, and all again of a bare asyncio echo (a future per message, no framing, no codec) of as many bytes, in the same
run: the ratio says what is ours and what is asyncio's and the machine's. Caller and server are a process each. Then
microseconds per frame of the codec alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import timeit
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec
import uvloop

from xinyu.kernel.port import Port, rpc
from xinyu.rpc.dispatch import Dispatcher
from xinyu.rpc.handshake import Identity
from xinyu.rpc.pool import RpcClient, Target
from xinyu.rpc.server import RpcServer
from xinyu.rpc.settings import RpcSettings
from xinyu.rpc.spec import spec_of
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_tcp import FixedPicker, TcpTransport
from xinyu.rpc.wire import FrameDecoder, encode_request, encode_response

IN_FLIGHT = 100
SECRET = b"known to both processes of this run"
Call = Callable[[], Awaitable[object]]


class Item(msgspec.Struct, frozen=True):
    """About as large as a short message."""

    id: int
    text: str


class EchoPort(Port):
    """Answers what it is asked."""

    @rpc(999, idempotent=True)
    async def echo(self, item: Item) -> Item:
        """`item` again."""


class Echo(EchoPort):
    """The service."""

    async def echo(self, item: Item) -> Item:
        return item


ITEM = Item(123456, "x" * 100)


class EchoServer(asyncio.Protocol):
    """Sends back what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class EchoClient(asyncio.Protocol):
    """Messages of one size, answered in order."""

    def __init__(self, size: int) -> None:
        self.message = b"x" * size
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.extra = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        whole, self.extra = divmod(self.extra + len(data), len(self.message))
        for _ in range(whole):
            self.waiting.popleft().set_result(None)

    async def call(self) -> None:
        """Send one and wait for it."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        self.transport.write(self.message)
        await future


async def serve() -> None:
    """Both servers, until stdin ends."""
    dispatcher = Dispatcher()
    dispatcher.add(EchoPort, Echo())
    server = RpcServer(dispatcher, RpcSettings(), Identity("server", 1, SECRET))
    await server.start()
    loop = asyncio.get_running_loop()
    echo = await loop.create_server(EchoServer, "127.0.0.1", 0)
    print(json.dumps([server.address, echo.sockets[0].getsockname()[1]]), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    await server.close()


async def rate(call: Call, seconds: float) -> float:
    """Calls per second with IN_FLIGHT callers."""
    end = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call()
            done += 1

    begin = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return done / (time.perf_counter() - begin)


async def round_trip_us(call: Call, seconds: float) -> float:
    """Median microseconds of one call after another."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        await call()
        took.append(time.perf_counter() - begin)
    return statistics.median(took) * 1e6


def codec_us() -> dict[str, float]:
    """Microseconds per frame: headers and fields, no JSON."""
    spec, trace_id = spec_of(EchoPort).methods["echo"], "0123456789abcdef" * 2
    body = spec.encode_request({"item": ITEM})
    wire, decoder = encode_request(70_000, 999, trace_id, body) * 100, FrameDecoder()
    times = {
        "encode_request_us": timeit.repeat(lambda: encode_request(70_000, 999, trace_id, body), number=20_000),
        "encode_response_us": timeit.repeat(
            lambda: encode_response(70_000, 999, 200, "ok", trace_id, body), number=20_000
        ),
        "decode_request_us": timeit.repeat(lambda: decoder.feed(wire), number=200),
    }
    return {name: min(found) / 20_000 * 1e6 for name, found in times.items()}


async def measure(address: str, echo_port: int, seconds: float) -> dict[str, float]:
    """One run."""
    client = RpcClient(RpcSettings(), Identity("caller", 1, SECRET))
    port = make_stub(EchoPort, TcpTransport(client, FixedPicker(Target(address))))
    spec = spec_of(EchoPort).methods["echo"]
    asked = encode_request(70_000, 999, "", spec.encode_request({"item": ITEM}) + b'"$deadline_ms":5000,')
    answered = encode_response(70_000, 999, 200, "ok", "", spec.encode_result(ITEM))
    _, bare = await asyncio.get_running_loop().create_connection(
        lambda: EchoClient((len(asked) + len(answered)) // 2), "127.0.0.1", echo_port
    )

    async def call() -> None:
        await port.echo(ITEM)

    found: dict[str, float] = {}
    for name, function in (("rpc", call), ("echo", bare.call)):
        await rate(function, min(0.5, seconds))  # warm
        spent = time.process_time()
        found[f"{name}_calls_per_second"] = await rate(function, seconds)
        spent = time.process_time() - spent
        found[f"{name}_caller_cpu_us"] = spent / (found[f"{name}_calls_per_second"] * seconds) * 1e6
        found[f"{name}_round_trip_us"] = await round_trip_us(function, seconds)
    found["calls_ratio"] = found["rpc_calls_per_second"] / found["echo_calls_per_second"]
    found["round_trip_ratio"] = found["rpc_round_trip_us"] / found["echo_round_trip_us"]
    bare.transport.close()
    await client.close()
    return found


def main() -> int:
    """Print the median of some runs as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve())
        return 0
    command = [sys.executable, str(Path(__file__).resolve()), "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        address, echo_port = json.loads(process.stdout.readline())
        runs: list[dict[str, Any]] = [
            uvloop.run(measure(address, echo_port, options.seconds)) | codec_us() for _ in range(options.runs)
        ]
        process.stdin.close()
        process.wait(10)
    print(json.dumps({name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
