"""What every workload gets: the server, the accounts, how long and how often, and the calibrations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.accounts import Accounts
from bench.calibrate import measure_echo, measure_fan, measure_idle
from bench.target import Server, Target

_CALIBRATION_SECONDS = 2.0


@dataclass(slots=True)
class Context:
    """The bench's state while workloads run one after the other."""

    server: Server
    target: Target
    accounts: Accounts
    folder: Path
    server_cpu: int | None
    runs: int
    seconds: float
    idle_seconds: float
    quick: bool
    calibrating: bool
    say: Callable[[str], None]
    advance: Callable[[], None]
    calibrations: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    @property
    def warm_seconds(self) -> float:
        """Load before the measured stretch."""
        return min(1.5, self.seconds / 2)

    async def restart(self) -> None:
        """Fresh processes where the sockets are, on the same data (a cluster that is not ours just stays)."""
        for holder in self.server.holders:
            self.say(f"restarting {holder}")
            await self.server.kill(holder)
            self.target = await self.server.start_again(holder)
        self.accounts.at(self.target.http_url)

    async def calibrate_echo(self, in_flight: int) -> float | None:
        """E1 or E8, measured now; None when calibrations are off."""
        if not self.calibrating:
            return None
        self.say(f"calibration E{in_flight}")
        return self._keep(
            f"E{in_flight}", await measure_echo(in_flight, _CALIBRATION_SECONDS, self.folder, self.server_cpu)
        )

    async def calibrate_fan(self) -> float | None:
        """F, measured now; None when calibrations are off."""
        if not self.calibrating:
            return None
        self.say("calibration F")
        return self._keep("F", await measure_fan(_CALIBRATION_SECONDS, self.folder, self.server_cpu))

    async def calibrate_idle(self, connections: int) -> None:
        """What idle sockets cost without any of our code."""
        if self.calibrating:
            name = f"bare {connections} idle"
            self.say(name)
            result = await measure_idle(connections, self.idle_seconds, self.folder, self.server_cpu)
            self.calibrations.setdefault(name, []).append(result)

    def _keep(self, name: str, result: dict[str, float]) -> float:
        self.calibrations.setdefault(name, []).append(result)
        self.advance()
        return result["frames_per_second"]
