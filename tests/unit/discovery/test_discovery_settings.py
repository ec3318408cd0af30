"""Settings of discovery, and how instances are written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from testkit.registries import instance
from xinyu.discovery.settings import DiscoverySettings
from xinyu.discovery.types import Instance, State, decode_instance, encode_instance, is_former_self


@pytest.mark.parametrize(
    ("given_", "named"),
    [
        ({"registry": "zookeeper"}, "discovery.zookeeper_hosts"),
        ({"registry": "static"}, "discovery.static"),
        ({"registry": "etcd"}, "registry"),
        ({"root": "services"}, "root"),
        ({"root": "/services/"}, "root"),
        ({"weight": -1}, "weight"),
    ],
)
def test_a_mistake_names_its_setting(given_: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        DiscoverySettings.model_validate(given_)


def test_the_account_is_not_shown() -> None:
    settings = DiscoverySettings.model_validate({"zookeeper_auth": "xinyu:hush"})
    assert "hush" not in repr(settings)


INSTANCES = st.builds(
    instance,
    st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True),
    st.integers(1, 2**53),
    st.sampled_from(["user", "gateway_ws"]),
    port=st.integers(1, 65535),
    state=st.sampled_from(State),
    weight=st.integers(0, 1000),
    zone=st.text(max_size=5),
)


@given(INSTANCES)
def test_what_is_written_is_read(told: Instance) -> None:
    assert decode_instance(told.node, encode_instance(told)) == told


@given(st.binary(max_size=200))
def test_any_bytes_are_an_instance_or_none(data: bytes) -> None:
    assert decode_instance("n1", data) is None


def test_a_former_self_listened_where_we_do_and_is_not_newer() -> None:
    ours = instance("n1", 7)
    assert is_former_self(instance("n1", 6), ours)
    assert is_former_self(instance("n1", 7), ours), "our own, of a session that was lost"
    assert not is_former_self(instance("n1", 8), ours)
    assert not is_former_self(instance("n1", 6, port=9999), ours)
    assert not is_former_self(instance("n2", 6), ours)


def test_ipv6_addresses_are_bracketed() -> None:
    fields = {"node": "n1", "epoch": 1, "host": "::1", "port": 9000, "roles": ("user",)}
    assert Instance(**fields).address == "[::1]:9000"  # type: ignore[arg-type]  # a dict of mixed types
