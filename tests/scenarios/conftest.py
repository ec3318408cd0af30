"""Stories against real server processes. A module may set SETTINGS, which go on top of the placement's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest

from testkit.people import Town
from testkit.placement import Placement, monolith

SHAPES = {"monolith": monolith}
"""The deployments that every story is told of."""


@pytest.fixture(scope="module", params=sorted(SHAPES))
def placement(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Placement]:
    """A running deployment for the module's stories. At its end it must stop cleanly and its logs must be clean."""
    folder = tmp_path_factory.mktemp(request.param)
    deployment = SHAPES[request.param](folder, getattr(request.module, "SETTINGS", {}))
    try:
        deployment.up()
        yield deployment
        deployment.down()
    finally:
        for node in deployment.nodes.values():
            if node.running:
                node.kill()


@pytest.fixture
async def town(placement: Placement) -> AsyncIterator[Town]:
    """People and their devices; what each device saw is checked at the end."""
    async with Town(placement) as people:
        yield people
        people.check()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Show the servers' logs with a failure."""
    report = yield
    deployment = getattr(item, "funcargs", {}).get("placement")
    if report.failed and isinstance(deployment, Placement):
        for name, log in deployment.logs.items():
            report.sections.append((f"log of {name} (its end)", log[-6000:]))
    return report
