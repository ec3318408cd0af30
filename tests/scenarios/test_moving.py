"""From one stage to another and back while people chat: processes of both live at once, gateways change one by one, and
nothing is lost, twice or out of order (G1 to G3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testkit.people import Town
from testkit.placement import Placement, standing
from testkit.stages import config_of, nodes_of, stage
from testkit.talkers import chatting

pytestmark = pytest.mark.scenario
SHAPES = ("stage1",)
GATEWAYS = ("gateway_ws_1", "gateway_ws_2", "gateway_http_1")
WITHIN = 15.0


async def move_gateway(placement: Placement, name: str, to: str) -> None:
    """Its clients go to another one meanwhile."""
    await placement.stop(name)
    placement.nodes[name] = placement.nodes[name].on(config_of(to))
    await placement.start(name)


async def replace(placement: Placement, old: list[str], to: str) -> None:
    """Start the services of another stage beside the old ones, move the gateways, then end the old services."""
    new = nodes_of(to, placement.folder, placement.shared, without=GATEWAYS)
    placement.nodes |= {node.name: node for node in new}
    await placement.start(*(node.name for node in new))
    await move_gateway(placement, GATEWAYS[0], to)  # the other ones are of the old stage still
    for name in old:
        await placement.stop(name)
        del placement.nodes[name]
    for name in GATEWAYS[1:]:
        await move_gateway(placement, name, to)


@pytest.fixture(scope="module")
def placement(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Placement]:
    """One of its own: its nodes come and go."""
    with standing(stage(request.param.removeprefix("stage"), tmp_path_factory.mktemp("moving"))) as deployment:
        yield deployment


async def test_there_and_back_while_people_chat(town: Town) -> None:
    placement = town.placement
    async with chatting(town) as chat:
        await replace(placement, ["services"], "4")
        await chat.goes_on(WITHIN)
        services = [name for name in placement.nodes if name not in GATEWAYS]
        assert len(services) == 7
        await replace(placement, services, "1")
        await chat.goes_on(WITHIN)
