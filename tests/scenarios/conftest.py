"""Stories against real server processes, told of every shape of deployment. A module may set SETTINGS, which go on top
of the placement's, and SHAPES, when it is about some of them only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from testkit.people import Town
from testkit.placement import Placement, monolith
from testkit.stages import STAGES, stage, stage_with_streams

Build = Callable[[Path, Mapping[str, Any]], Placement]
SHAPES: dict[str, Build] = {
    "monolith": monolith,
    **{f"stage{name}": partial(stage, name) for name in STAGES},
    "stage4-streams": stage_with_streams,
}
"""The deployments that stories are told of."""
USUAL = tuple(shape for shape in SHAPES if "-" not in shape)
"""Those of a story that names none: the others are variants, told the stories that they may change."""


class Stands:
    """What is up now: modules that want the same share it, for a start takes longer than most stories."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._key: object = None
        self._placement: Placement | None = None

    def get(self, shape: str, settings: Mapping[str, Any]) -> Placement:
        """A deployment of this shape, with everything running."""
        key = (shape, repr(settings))
        if self._placement is not None and key == self._key:
            for node in self._placement.nodes.values():
                if not node.running:
                    node.start()
            return self._placement
        self.end()
        self._key = key
        self._placement = SHAPES[shape](self._factory.mktemp(shape), settings)
        self._placement.up()
        return self._placement

    def end(self) -> None:
        """It must stop cleanly, and its logs must be clean."""
        placement, self._placement = self._placement, None
        if placement is None:
            return
        try:
            placement.down()
        finally:
            for node in placement.nodes.values():
                if node.running:
                    node.kill()


@pytest.fixture(scope="session")
def stands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stands]:
    found = Stands(tmp_path_factory)
    yield found
    found.end()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "placement" in metafunc.fixturenames:
        shapes = getattr(metafunc.module, "SHAPES", USUAL)
        metafunc.parametrize("placement", list(shapes), indirect=True, scope="module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One deployment after the other, each on one worker with all its stories; a module that has one of its own may be
    told beside them. The largest shape comes first, so that no worker is left with it at the end."""
    order = list(SHAPES)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    items.sort(key=lambda item: (-order.index(shape_of(item)) if shape_of(item) else 1, group_of(item)))


def group_of(item: pytest.Item) -> str:
    """The deployment that a test shares with others."""
    shape, module = shape_of(item), getattr(item, "module", None)
    if not shape or "placement" in vars(module):
        return f"{shape} {item.path.name}"
    return f"{shape} {repr(settings_of(item)) if settings_of(item) else ''}"


def settings_of(item: pytest.Item) -> Mapping[str, Any]:
    """What a test's module sets on top of its placement."""
    found: Mapping[str, Any] = getattr(getattr(item, "module", None), "SETTINGS", {})
    return found


def shape_of(item: pytest.Item) -> str:
    """The deployment of a test, "" for none."""
    found = getattr(item, "callspec", None)
    return str(found.params.get("placement", "")) if found is not None else ""


@pytest.fixture(scope="module")
def placement(request: pytest.FixtureRequest, stands: Stands) -> Placement:
    """A running deployment for the module's stories."""
    return stands.get(request.param, getattr(request.module, "SETTINGS", {}))


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
