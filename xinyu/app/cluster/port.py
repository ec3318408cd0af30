"""What every process answers about itself: for `xinyu cluster`, over the same RPC as everything else."""

from __future__ import annotations

import msgspec

from xinyu.kernel.port import Port, rpc


class NodeStatus(msgspec.Struct, frozen=True):
    """A process as it sees itself."""

    node: str
    roles: list[str]
    version: str
    ready: bool
    sessions: int
    """Open client sessions; 0 where the role gateway_ws is not hosted."""
    serving: int
    """Calls that run for other processes, besides the one that asks."""
    calling: int
    """Calls to other processes that wait for an answer."""
    failing_runs: list[str]
    """Background runs that wait for their restart."""


class NodePort(Port):
    """One process. Pinned: a call goes to the node it asks about."""

    @rpc(190, idempotent=True)
    async def status(self) -> NodeStatus:
        """How the process is."""
