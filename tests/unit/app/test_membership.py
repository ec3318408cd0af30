"""Two processes as far as calls go: one serves, the other finds it and calls; with TLS, and with another secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from testkit.clock import ManualClock
from testkit.tls import self_signed
from xinyu.app.cluster.links import Links
from xinyu.app.cluster.membership import Membership
from xinyu.app.cluster.node import NodeService
from xinyu.app.cluster.placement import Placement
from xinyu.app.cluster.port import NodePort, NodeStatus
from xinyu.app.settings import ConfigError, Settings
from xinyu.kernel.errors import DeadlineExceeded, Unavailable
from xinyu.kernel.ids import UserId
from xinyu.presence.port import PresencePort
from xinyu.presence.service import PresenceService
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.rpc.deadline import within
from xinyu.rpc.pool import Target
from xinyu.rpc.stub import make_stub
from xinyu.rpc.transport_tcp import FixedPicker, TcpTransport
from xinyu.telemetry.metrics import Metrics

SECRET = "the secret of this cluster's nodes"
STATUS = NodeStatus("serving", ["presence"], "0", True, 0, 0, 0, [])


def settings(node: str, address: str, rpc: dict[str, Any]) -> Settings:
    return Settings(
        node=node,
        discovery={"registry": "static", "static": {"presence": [address], "gateway_ws": [address]}},
        rpc={"secret": SECRET, "retry_attempts": 2, "connect_seconds": 1.0, **rpc},
    )


@asynccontextmanager
async def serving(**rpc: Any) -> AsyncIterator[str]:
    """A process with the role presence; its address."""
    metrics = Metrics()
    links = Links(settings("serving", "127.0.0.1:1", rpc), 1, metrics)
    placement = Placement(metrics, links)
    service = PresenceService(MemoryPresenceStore(), ManualClock(), 30)
    placement.serve(PresencePort, lambda: service)
    member = Membership(links, ("presence",))
    address = member.bind()
    await member.connect()
    await member.serve(placement, NodeService(lambda: STATUS))
    try:
        yield address
    finally:
        await member.drain(1)
        await member.stop()


@asynccontextmanager
async def calling(address: str, **rpc: Any) -> AsyncIterator[tuple[PresencePort, Links]]:
    """Another process, which calls presence."""
    metrics = Metrics()
    links = Links(settings("calling", address, rpc), 2, metrics)
    await links.start(["presence"])
    try:
        yield Placement(metrics, links).stub(PresencePort), links
    finally:
        await links.stop()


@pytest.fixture
def certified(tmp_path: Path) -> dict[str, Any]:
    """TLS settings of a node that the cluster's authority signed for."""
    certificate, key = map(str, self_signed(tmp_path))
    return {"tls_cert_path": certificate, "tls_key_path": key, "tls_ca_path": certificate}


@pytest.mark.parametrize("tls", [False, True])
async def test_what_one_serves_the_other_calls(tls: bool, certified: dict[str, Any]) -> None:
    rpc = certified if tls else {}
    async with serving(**rpc) as address, calling(address, **rpc) as (presence, links):
        assert await presence.list_online([UserId(1)]) == []
        node = make_stub(NodePort, TcpTransport(links.client, FixedPicker(Target(address, "serving", 1))))
        assert await node.status() == STATUS
        assert links.missing() == []


async def test_others_are_told_the_address_that_is_advertised() -> None:
    where = {"registry": "static", "static": {"presence": ["h:1"], "gateway_ws": ["h:1"]}}
    told = Settings(discovery={**where, "advertise_host": "host.example", "advertise_port": 7}, rpc={"secret": SECRET})
    member = Membership(Links(told, 1, Metrics()), ("presence",))
    assert member.bind() == member.address == "host.example:7"
    await member.stop()


async def test_another_secret_or_no_certificate_lets_nobody_in(
    certified: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(serving())
        sealed = await stack.enter_async_context(serving(**certified))
        stranger, _ = await stack.enter_async_context(calling(plain, secret="x" * 32))
        unsealed, _ = await stack.enter_async_context(calling(sealed))
        known, _ = await stack.enter_async_context(calling(plain))
        for port in (stranger, unsealed):
            with within(2.0), pytest.raises((Unavailable, DeadlineExceeded)):
                await port.list_online([UserId(1)])
        assert await known.list_online([UserId(1)]) == []  # others never notice
        assert "does not know this cluster" in capsys.readouterr().out


def test_certificates_that_are_not_there_are_named() -> None:
    rpc = {"tls_cert_path": "no.pem", "tls_key_path": "no.pem", "tls_ca_path": "no.pem"}
    with pytest.raises(ConfigError, match=r"rpc\.tls_cert_path"):
        Links(settings("n", "127.0.0.1:1", rpc), 1, Metrics())
