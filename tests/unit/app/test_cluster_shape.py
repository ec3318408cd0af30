"""Shapes that cannot work are refused before anything starts, each by one line that names the setting."""

from __future__ import annotations

from typing import Any

import pytest

from xinyu.app.cluster.membership import roles_called_by
from xinyu.app.roles import ROLE_OF, ROLES
from xinyu.app.settings import ConfigError, Settings
from xinyu.app.settings_files import layered, merged
from xinyu.app.shape import asked_for_names, check_shape
from xinyu.gateway.predecessor.settings import PredecessorSettings

WORKS: dict[str, Any] = {
    "roles": ("gateway_http", "media"),
    "discovery": {"registry": "zookeeper", "zookeeper_hosts": "127.0.0.1:2181"},
    "presence": {"store": "redis", "redis_url": "redis://127.0.0.1:6379/0"},
    "storage": {"dsn": "mysql://xinyu:x@127.0.0.1/xinyu"},
    "rpc": {"secret": "s" * 32},
    "media": {"blob_dir": "/srv/blobs"},
}


def check(**changes: Any) -> None:
    check_shape(Settings(**{**WORKS, **changes}))


def test_a_part_of_a_cluster_works() -> None:
    check()
    for role in ROLES:
        check(roles=(role,))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"roles": ("gateway_sw",)}, "roles: there is no role 'gateway_sw'"),
        ({"discovery": {}, "roles": ("gateway_ws",)}, "discovery.registry: memory finds no other"),
        ({"presence": {}}, "presence.store: memory is one process's own"),
        ({"media": {}}, "media.blob_dir: several nodes read and write there"),
        ({"rpc": {}}, "rpc.secret: must be set"),
        ({"rpc": {"secret": "short"}}, "rpc.secret: must be set to at least 32"),
        ({"rpc": {"secret": "s" * 32, "host": "0.0.0.0"}}, "discovery.advertise_host: must be set"),
        ({"storage": {}}, "storage.dsn: media would keep its data in an SQLite file"),
        ({"embedded": True}, "embedded: is for one process"),
        ({"discovery": {"registry": "static", "static": {"user": ["h:1"]}}}, "discovery.static: names no address for"),
    ],
)
def test_what_cannot_work_is_refused_naming_the_setting(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check(**changes)


def test_common_limits_need_a_redis_where_clients_come_in() -> None:
    alone = {"presence": {}, "gateway": {"limits_store": "redis"}}
    with pytest.raises(ConfigError, match=r"gateway.limits_redis_url: gateway.limits_store: redis needs it") as error:
        check_shape(Settings(**alone))
    assert "\n" not in str(error.value)
    for name in ("gateway.limits_redis_url", "presence.redis_url"):
        section, field = name.split(".")
        check_shape(Settings(**{**alone, section: {**alone[section], field: "redis://127.0.0.1:6379/0"}}))
    check(gateway={"limits_store": "redis"}, roles=("media",))


def test_deliverys_queue_needs_a_redis_where_pushes_are_put_or_taken() -> None:
    alone = {"presence": {}, "delivery": {"queue": "redis"}}
    with pytest.raises(ConfigError, match=r"delivery.redis_url: delivery.queue: redis needs it") as error:
        check_shape(Settings(**alone))
    assert "\n" not in str(error.value)
    for name in ("delivery.redis_url", "presence.redis_url"):
        section, field = name.split(".")
        url = {field: "redis://127.0.0.1:6379/0"}
        check_shape(Settings(**merged(alone, {section: url})))
    for role in ("message", "delivery"):
        check(roles=(role,), delivery={"queue": "redis"})


def test_all_who_put_pushes_or_take_them_mean_the_same_queue() -> None:
    others: dict[str, Any] = {"d": {"roles": ["delivery"], "delivery": {"queue": "local"}}, "m": {"roles": ["message"]}}
    with pytest.raises(ConfigError, match=r"delivery.queue: redis here, local in d; it must be the same in all"):
        check(roles=("message",), delivery={"queue": "redis"}, processes=others)
    check(roles=("message",), processes=others)
    check(roles=("user",), delivery={"queue": "redis"}, processes=others)
    others["d"]["roles"] = ["media"]
    check(roles=("message",), delivery={"queue": "redis"}, processes=others)


@pytest.mark.parametrize(
    ("section", "values", "says"),
    [
        ("delivery", {"queue": "redis", "stream_in_hand": 9, "lane_pushes": 8}, "delivery.stream_in_hand: must not"),
        ("presence", {"store": "redis"}, "presence.redis_url is missing"),
        ("discovery", {"registry": "zookeeper"}, "discovery.zookeeper_hosts is missing"),
        ("rpc", {"tls_cert_path": "c.pem"}, "rpc.tls_key_path is missing"),
    ],
)
def test_a_section_misses_what_it_needs(section: str, values: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings(**{section: values})


def test_every_port_has_one_role_and_a_role_calls_those_of_its_needs() -> None:
    assert set(ROLE_OF.values()) <= set(ROLES)
    assert roles_called_by(("presence",)) == set()
    assert roles_called_by(("message", "delivery")) == {"media", "presence", "gateway_ws"}
    assert "message" in roles_called_by(("gateway_ws",)) and "gateway_ws" not in roles_called_by(("gateway_ws",))
    assert roles_called_by(tuple(ROLES)) == set()


def test_names_are_called_for_only_with_the_adapter_for_the_predecessors_processes() -> None:
    on = Settings(predecessor=PredecessorSettings(enabled=True))
    assert asked_for_names(Settings(), ("delivery",)) == set() == asked_for_names(on, ("message",))
    assert asked_for_names(on, ("delivery",)) == {"user"}
    assert asked_for_names(on, ("delivery", "user")) == set()


def test_a_process_has_its_own_entry_on_top_of_its_file_and_below_the_next_file() -> None:
    first = {"log": {"level": "info"}, "processes": {"a": {"log": {"level": "debug"}, "roles": ["user"]}, "b": {}}}
    second = {"log": {"style": "json"}, "rpc": {"port": 1}}
    assert layered([first, second], "a")["log"] == {"level": "debug", "style": "json"}
    assert layered([first, {"log": {"level": "error"}}], "a")["log"]["level"] == "error"
    assert layered([first], "b")["log"] == {"level": "info"}
    assert "roles" not in layered([first])
    assert layered([first, {"node": "a"}])["roles"] == ["user"]
    with pytest.raises(ConfigError, match=r"processes\.c: must be a mapping"):
        layered([{"processes": {"c": ["user"]}}], "c")
    with pytest.raises(ConfigError, match=r"processes\.c: must be a mapping"):
        layered([{"processes": {"c": {"node": "d"}}}], "c")
