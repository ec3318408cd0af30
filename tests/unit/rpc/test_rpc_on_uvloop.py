"""The stories about sockets once more on uvloop, as servers run: it writes and complains at other moments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

import pytest
import uvloop

from unit.rpc import test_rpc_calls, test_rpc_server, test_rpc_transport_tcp

Story = Callable[[], Coroutine[Any, Any, None]]


def stories(*modules: ModuleType) -> list[Story]:
    """Those that need no fixture."""
    return [
        function
        for module in modules
        for name, function in vars(module).items()
        if name.startswith("test_")
        and inspect.iscoroutinefunction(function)
        and not inspect.signature(function).parameters
    ]


@pytest.mark.parametrize(
    "story", stories(test_rpc_calls, test_rpc_server, test_rpc_transport_tcp), ids=lambda story: story.__name__
)
def test_on_uvloop(story: Story) -> None:
    uvloop.run(story())


def test_there_are_stories() -> None:
    assert len(stories(test_rpc_calls, test_rpc_server, test_rpc_transport_tcp)) > 40
