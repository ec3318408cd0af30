"""What all handlers of a node share, of REST and socket alike."""

from __future__ import annotations

from dataclasses import dataclass

from xinyu.gateway.limits import RateLimits
from xinyu.gateway.names import Names
from xinyu.gateway.ports import Ports
from xinyu.gateway.present.times import LocalTimes
from xinyu.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class GatewayServices:
    """Ports, and what a gateway itself knows and counts. One per node, so that limits and names are too."""

    ports: Ports
    names: Names
    limits: RateLimits
    times: LocalTimes


def services_over(ports: Ports, settings: GatewaySettings) -> GatewayServices:
    """New ones, as `settings` want them."""
    names = Names(ports.profiles, settings.name_cache_seconds)
    return GatewayServices(ports, names, RateLimits(settings), LocalTimes(settings.timezone))
