"""Delivery's queue as `xinyu config check` sees it, and as a start does: the same line, naming the setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testkit.placement import free_port
from xinyu.app.settings import ConfigError, Settings
from xinyu.app.supervisor import Process
from xinyu.cli.config_check import checked


def alone(folder: Path, **delivery: Any) -> Settings:
    """A server with everything inside but the queue."""
    ports = {"http_port": 0, "ws_port": 0}
    return Settings(
        embedded=True, data_dir=folder, admin_port=0, gateway=ports, delivery={"queue": "redis", **delivery}
    )


async def errors(settings: Settings) -> list[str]:
    return [text for level, text in await checked(settings) if level != "ok"]


async def test_a_queue_without_a_redis_is_one_line(tmp_path: Path) -> None:
    said = "delivery.redis_url: delivery.queue: redis needs it, or presence.redis_url"
    assert await errors(alone(tmp_path)) == [said]
    with pytest.raises(ConfigError, match=said):
        Process(alone(tmp_path))


async def test_a_queue_whose_redis_does_not_answer_is_one_line(tmp_path: Path) -> None:
    settings = alone(tmp_path, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    (found,) = await errors(settings)
    process = Process(settings)
    with pytest.raises(ConfigError) as refused:
        await process.open_storage(migrate=True)
    await process.close_storage()
    for said in (found, str(refused.value)):
        assert said.startswith("delivery.redis_url: Redis cannot be used")
        assert "\n" not in said


async def test_a_cluster_in_which_nobody_takes_from_the_queue_is_warned_of(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "data_dir": tmp_path,
        "roles": ("message",),
        "discovery": {"registry": "static", "static": {role: [nowhere] for role in ("delivery", "media", "presence")}},
        "presence": {"store": "redis", "redis_url": f"redis://{nowhere}/0"},
        "storage": {"dsn": f"mysql://xinyu:x@{nowhere}/xinyu"},
        "rpc": {"secret": "s" * 32, "port": 0},
        "delivery": {"queue": "redis"},
        "processes": {"m": {"roles": ["message"]}, "g": {"roles": ["gateway_ws"]}},
    }
    warning = "delivery.queue: redis, and none of `processes` hosts delivery to read it"
    found = await errors(Settings(**settings))
    assert warning in found
    assert any(text.startswith("presence.redis_url: Redis cannot be used") for text in found)
    settings["processes"]["d"] = {"roles": ["delivery"]}
    assert warning not in await errors(Settings(**settings))
