"""The service behind `NodePort`."""

from __future__ import annotations

from collections.abc import Callable

from xinyu.app.cluster.port import NodePort, NodeStatus


class NodeService(NodePort):
    """Serves `NodePort`."""

    def __init__(self, read: Callable[[], NodeStatus]) -> None:
        self._read = read

    async def status(self) -> NodeStatus:
        return self._read()
