"""Settings of the adapter that cannot work are refused, naming the setting."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from xinyu.gateway.predecessor.places import Allowed, is_theirs, place_at, split
from xinyu.gateway.predecessor.settings import PredecessorSettings
from xinyu.kernel.ids import NodeId
from xinyu.presence.types import NodeRef


def test_it_is_off_and_on_loopback_by_default() -> None:
    default = PredecessorSettings()
    assert (default.enabled, default.host) == (False, "127.0.0.1")
    allowed = Allowed(default.allowed)
    assert "127.0.0.1" in allowed and "::1" in allowed and "::ffff:127.0.0.1" in allowed
    assert not any(host in allowed for host in ("10.0.0.1", "::", "", "localhost", "127.0.0.1:80"))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"allowed": ("10.0.0.0/33",)}, "predecessor.allowed"),
        ({"allowed": ("everybody",)}, "predecessor.allowed"),
        ({"enabled": True, "host": "0.0.0.0"}, "predecessor.advertise_host is missing"),
        ({"presence_address": "127.0.0.1:8070"}, "predecessor.enabled is missing"),
        ({"enabled": True, "presence_address": "127.0.0.1"}, "presence_address"),
        ({"ttl_seconds": 1}, "ttl_seconds"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        PredecessorSettings(**values)


def test_its_gateways_are_told_from_our_nodes() -> None:
    assert is_theirs(place_at("127.0.0.1:8060"))
    assert not is_theirs(NodeRef(NodeId("predecessor-1"), 0, "127.0.0.1:8060"))
    assert (split("[::1]:80"), split("10.0.0.1:0"), split("x")) == (("::1", 80), ("10.0.0.1", 0), ("", 0))
