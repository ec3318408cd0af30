"""A port behaves the same over every transport."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from testkit.rpc import TRANSPORTS, Probe, ProbePort, Wires
from xinyu.kernel.errors import DeadlineExceeded, InvalidInput, Unavailable, XinyuError
from xinyu.rpc.deadline import within
from xinyu.telemetry.trace import begin_trace


@pytest.fixture(params=TRANSPORTS)
async def port(request: pytest.FixtureRequest) -> AsyncIterator[ProbePort]:
    async with Wires.open(request.param) as wires:
        yield wires.stub(ProbePort, Probe())


async def test_arguments_by_place_by_name_and_by_default(port: ProbePort) -> None:
    assert await port.echo("ab") == "ab"
    assert await port.echo("ab", 2) == "abab" == await port.echo(times=2, text="ab")
    assert await port.echo("中文 \x00 é \U0001f600") == "中文 \x00 é \U0001f600"
    assert await port.echo("x" * 5000, times=20) == "x" * 100_000


async def test_errors_keep_class_code_message_and_details(port: ProbePort) -> None:
    with pytest.raises(InvalidInput) as invalid:
        await port.fail("invalid")
    assert (invalid.value.code, invalid.value.message) == ("request.invalid", "not like this")
    assert invalid.value.details == {"field": "how"}
    with pytest.raises(Unavailable, match="my database is away"):
        await port.fail("unavailable")


async def test_what_was_unforeseen_is_an_error_to_callers(port: ProbePort) -> None:
    with pytest.raises((XinyuError, RuntimeError)):
        await port.fail("unforeseen")


async def test_trace_and_deadline_reach_the_service(port: ProbePort) -> None:
    trace_id = begin_trace()
    with within(2.0):
        context = await port.context()
    assert context.trace_id == trace_id
    assert context.seconds_left is not None
    assert 1.5 < context.seconds_left <= 2.0
    with within(-1.0), pytest.raises(DeadlineExceeded):
        await port.add(1)
    assert await port.add(2) == 2
