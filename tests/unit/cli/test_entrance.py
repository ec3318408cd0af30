"""Where a command finds the running server of its configuration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xinyu.app.settings import ConfigError, Settings
from xinyu.cli.server import entrance_of

Announce = Callable[[Path, str, dict[str, str]], None]

NODE = """
import sys
from pathlib import Path
from xinyu.app.data_folder import DataFolder
folder = DataFolder(Path(sys.argv[1]), sys.argv[2])
folder.take()
folder.announce(dict(word.split("=") for word in sys.argv[3:]))
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def announce() -> Iterator[Announce]:
    """Processes that work in a folder and say where they answer."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(folder: Path, node: str, urls: dict[str, str]) -> None:
        command = [sys.executable, "-c", NODE, str(folder), node, *(f"{name}={url}" for name, url in urls.items())]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout is not None and process.stdout.readline() == b"up\n"

    yield start
    for process in processes:
        process.communicate()


def settings_of(folder: Path, processes: dict[str, dict[str, object]]) -> Settings:
    return Settings(node="http", data_dir=folder, processes=processes, user={"accept_plain_passwords": True})


def test_a_process_with_both_is_the_entrance_itself(tmp_path: Path, announce: Announce) -> None:
    announce(tmp_path, "http", {"http": "http://0.0.0.0:1", "ws": "ws://0.0.0.0:2"})
    entrance = entrance_of(settings_of(tmp_path, {}))
    assert (entrance.base_url, entrance.ws_url) == ("http://127.0.0.1:1", ["ws://127.0.0.1:2/wss/default.io"])


def test_without_sockets_of_its_own_those_of_the_configurations_other_processes_are_tried(
    tmp_path: Path, announce: Announce
) -> None:
    announce(tmp_path, "http", {"http": "http://127.0.0.1:1"})
    announce(tmp_path, "ws_1", {"ws": "ws://127.0.0.1:2"})
    announce(tmp_path / "elsewhere", "ws_2", {"ws": "ws://127.0.0.1:3"})
    own: dict[str, dict[str, object]] = {"http": {}, "ws_1": {}, "ws_2": {"data_dir": str(tmp_path / "elsewhere")}}
    entrance = entrance_of(settings_of(tmp_path, {**own, "down": {}}))
    assert entrance.ws_url == ["ws://127.0.0.1:2/wss/default.io", "ws://127.0.0.1:3/wss/default.io"]
    assert entrance_of(settings_of(tmp_path, {})).ws_url is None


def test_a_process_without_rest_is_none(tmp_path: Path, announce: Announce) -> None:
    announce(tmp_path, "http", {"ws": "ws://127.0.0.1:2"})
    with pytest.raises(ConfigError, match="gateway_http"):
        entrance_of(settings_of(tmp_path, {}))
