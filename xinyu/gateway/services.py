"""What all handlers of a node share, of REST and socket alike."""

from __future__ import annotations

from dataclasses import dataclass

from xinyu.gateway.admission import Admission
from xinyu.gateway.limits import RateLimits, SharedCounts
from xinyu.gateway.names import Names
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.times import LocalTimes
from xinyu.gateway.settings import GatewaySettings
from xinyu.telemetry.readings import Reading


@dataclass(frozen=True, slots=True)
class GatewayServices:
    """Ports, and what a gateway itself knows and counts. One per node."""

    ports: Ports
    names: Names
    limits: RateLimits
    times: LocalTimes
    admission: Admission

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [*self.admission.readings(), *self.limits.readings()]


def services_over(ports: Ports, settings: GatewaySettings, counts: SharedCounts | None = None) -> GatewayServices:
    """New ones, as `settings` want them; limits are counted by `counts` for all gateways, or by this one alone."""
    names = Names(ports.profiles, settings.name_cache_seconds)
    limits, times = RateLimits(settings, counts), LocalTimes(settings.timezone)
    return GatewayServices(ports, names, limits, times, Admission(settings.max_requests))
