from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from testkit.fake_gateway import FakeGateway, fake_gateway
from xinyu.sdk import Client, Options, Tuning

QUICK = Tuning(
    request_seconds=2,
    backoff_base_seconds=0.01,
    backoff_cap_seconds=0.05,
    ack_seconds=0.02,
    gap_grace_seconds=0.02,
)
MakeClient = Callable[..., Client]


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as made:
        yield made


@pytest.fixture
async def make_client(gateway: FakeGateway) -> AsyncIterator[MakeClient]:
    """Clients of the fake gateway, closed at the end."""
    async with AsyncExitStack() as stack:
        made: list[Client] = []

        def make(tuning: Tuning = QUICK, **more: Any) -> Client:
            client = Client(
                "http://127.0.0.1:9", "t0ken", ws_url=gateway.ws_url, options=Options(tuning=tuning), **more
            )
            made.append(client)
            stack.push_async_callback(client.close)
            return client

        yield make
