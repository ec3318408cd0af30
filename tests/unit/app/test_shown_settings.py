"""What `xinyu config show` and /status/config show of a configuration: everything but its secrets."""

from __future__ import annotations

from typing import Any

import pytest

from xinyu.app.settings import Settings, as_yaml, shown

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@host:6379/0",
        f"rediss://user:a@b/{SECRET}@host:6379/0",
        f"redis://host:6379/0?password={SECRET}",
        f"unix:///run/redis.sock?db=0&password={SECRET}",
    ],
)
def test_no_password_is_shown_wherever_it_stands_in_an_address(url: str) -> None:
    presence: dict[str, Any] = {"store": "redis", "redis_url": url}
    settings = Settings.model_validate({"presence": presence, "processes": {"m1": {"presence": presence}}})
    text = as_yaml(shown(settings))
    assert SECRET not in text
    assert "host" in text or "/run/redis.sock" in text
