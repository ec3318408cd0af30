"""The lock of a data folder, and finding the server that works there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinyu.app.data_folder import DataFolder
from xinyu.app.settings import ConfigError


def test_a_running_server_is_found_until_it_lets_go(tmp_path: Path) -> None:
    server, command = DataFolder(tmp_path / "d", "n"), DataFolder(tmp_path / "d", "n")
    assert command.running() is None
    server.take()
    assert command.running() is None, "it is not up yet"
    server.announce({"admin": "http://127.0.0.1:1"})
    found = command.running()
    assert found is not None and (found.admin, found.http) == ("http://127.0.0.1:1", "")
    assert (tmp_path / "d" / "n.json").stat().st_mode & 0o777 == 0o600
    server.release()
    assert command.running() is None and not (tmp_path / "d" / "n.json").exists()


def test_what_a_killed_server_left_is_not_believed(tmp_path: Path) -> None:
    """Its ports may be anybody's by now, and the admin secret would be sent there."""
    server = DataFolder(tmp_path, "n")
    server.take()
    server.announce({"admin": "http://127.0.0.1:1"})
    left = (tmp_path / "n.json").read_text()
    server.release()
    (tmp_path / "n.json").write_text(left)
    assert server.running() is None, "nobody holds the lock"

    (tmp_path / "n.json").write_text(json.dumps({**json.loads(left), "pid": 1}))
    command = DataFolder(tmp_path, "n")
    command.take()
    try:
        assert server.running() is None, "the lock is somebody else's"
    finally:
        command.release()


def test_the_folder_has_one_user_at_a_time_and_a_refused_one_takes_nothing_away(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path, "n"), DataFolder(tmp_path, "n")
    first.take()
    first.announce({"admin": "http://127.0.0.1:1"})
    with pytest.raises(ConfigError, match="another process"):
        second.take()
    second.release()
    assert first.running() is not None
    first.release()
    second.take()
    second.release()


def test_a_folder_that_may_not_be_looked_into_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "n.json").symlink_to(tmp_path / "n.json")  # cannot be read by root either
    with pytest.raises(ConfigError, match="data_dir: cannot look into "):
        DataFolder(tmp_path, "n").running()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_damaged_file_is_no_server(tmp_path: Path, text: str) -> None:
    server = DataFolder(tmp_path, "n")
    server.take()
    (tmp_path / "n.json").write_text(text)
    assert server.running() is None
    server.release()


def test_who_wants_a_folder_alone_shares_it_with_nobody(tmp_path: Path) -> None:
    """Two monoliths of different names would otherwise write into one database."""
    alone, node, other = DataFolder(tmp_path, "a", alone=True), DataFolder(tmp_path, "b"), DataFolder(tmp_path, "c")
    alone.take()
    with pytest.raises(ConfigError, match="another process"):
        node.take()
    alone.release()
    node.take()
    other.take()
    with pytest.raises(ConfigError, match="another process"):
        alone.take()
    node.release()
    other.release()
    alone.take()
    alone.release()
