"""What a stretch of a run cost: wall time, the server's CPU, the generator's CPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.process import cpu_seconds

SATURATED_SHARE = 0.9  # a generator busier than this measures itself


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU seconds between start and stop of a Meter."""

    wall_seconds: float
    server_cpu_seconds: float
    client_cpu_seconds: float

    @property
    def server_share(self) -> float:
        """Cores the server used."""
        return self.server_cpu_seconds / self.wall_seconds

    @property
    def client_share(self) -> float:
        """Cores the generator used."""
        return self.client_cpu_seconds / self.wall_seconds

    @property
    def saturated(self) -> bool:
        """Whether the generator was the bottleneck."""
        return self.client_share > SATURATED_SHARE

    def micros_per(self, units: int) -> float:
        """The server's CPU per unit, in microseconds; NaN without units or without the server's process ids."""
        return self.server_cpu_seconds / units * 1e6 if units and self.server_cpu_seconds else float("nan")


class Meter:
    """Starts when made."""

    def __init__(self, server_pids: Sequence[int]) -> None:
        self._pids = tuple(server_pids)
        self._server = cpu_seconds(self._pids)
        self._client = time.process_time()
        self._wall = time.perf_counter()

    def stop(self) -> Cost:
        """The cost since the start; may be read again later."""
        return Cost(
            wall_seconds=time.perf_counter() - self._wall,
            server_cpu_seconds=cpu_seconds(self._pids) - self._server,
            client_cpu_seconds=time.process_time() - self._client,
        )
