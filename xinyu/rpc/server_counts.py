"""What a server of calls has seen, for metrics and for whoever follows a request."""

from __future__ import annotations

from dataclasses import dataclass, field

from xinyu.rpc.dispatch import Reply
from xinyu.rpc.handshake import Peer
from xinyu.telemetry.logs import get_logger, hops, in_ms
from xinyu.telemetry.readings import SECONDS, Histogram, Reading

log = get_logger(__name__)


@dataclass(slots=True)
class ServerCounts:
    """Counted by the connections of one server."""

    calls: int = 0
    in_flight: int = 0
    failed: int = 0
    refused: int = 0
    expired: int = 0
    called_off: int = 0
    bad_peers: int = 0
    turned_away: int = 0
    seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))

    def served(self, label: str, peer: Peer | None, reply: Reply, seconds: float) -> None:
        """A call ran to its end, in the task that has its trace id."""
        well = reply.result == 200
        self.seconds.observe(seconds)
        self.failed += not well
        if hops.told:
            log.debug(
                "call served",
                method=label,
                node=peer.node if peer is not None else None,
                result=reply.result,
                error=None if well else reply.result_str,
                duration_ms=in_ms(seconds),
            )

    def readings(self, connections: int) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_rpc_server_calls_total", "Calls that came in over TCP.", self.calls),
            ("xinyu_rpc_server_call_seconds", "Calls from other processes, as long as they ran.", self.seconds),
            ("xinyu_rpc_server_failed_total", "Of them, those that were answered with an error.", self.failed),
            ("xinyu_rpc_server_in_flight", "Calls that run for other processes.", self.in_flight),
            ("xinyu_rpc_server_refused_total", "Calls refused because too many ran.", self.refused),
            ("xinyu_rpc_server_expired_total", "Calls ended because their time was up.", self.expired),
            ("xinyu_rpc_server_called_off_total", "Calls whose caller stopped waiting.", self.called_off),
            ("xinyu_rpc_server_bad_peers_total", "Connections refused: no proof, or not Rock.", self.bad_peers),
            ("xinyu_rpc_server_turned_away_total", "Connections refused: there were too many.", self.turned_away),
            ("xinyu_rpc_server_connections", "Connections from other processes.", connections),
        ]
