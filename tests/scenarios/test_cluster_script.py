"""`scripts/gateways_run.sh`: a whole stage by one command, watched, and nothing left when it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_engines.cli import ROOT as ENGINES_ROOT
from local_engines.instance import Instance
from local_engines.instance import State as EngineState
from local_engines.process import identity
from local_engines.servers import SERVERS
from testkit.placement import QUICK, ROOT, environment
from testkit.waiting import eventually

SCRIPT = ROOT / "scripts" / "gateways_run.sh"
START_SECONDS = 40.0
STAGE = "1"
NODES = {
    "gateway_http_1": ["gateway_http"],
    "gateway_ws_1": ["gateway_ws"],
    "gateway_ws_2": ["gateway_ws"],
    "services": ["user", "contact", "group", "message", "delivery", "presence", "media"],
}


class Script:
    """The script on a folder of its own, and so on a schema and addresses of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output"
        self._environment = {**environment(), "XINYU_PYTHON": sys.executable}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        return subprocess.run(
            [str(SCRIPT), *arguments, "--folder", str(self.folder)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )

    def watch(self) -> subprocess.Popen[bytes]:
        """`start --watch` in the foreground of a shell."""
        sets = [f"--set=user={json.dumps(QUICK['user'])}", "--set=gateway.drain_seconds=0.5"]
        command = [str(SCRIPT), "start", STAGE, "--watch", "--ports=free", "--folder", str(self.folder), *sets]
        with self.output.open("wb") as output:
            return subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)

    def status(self) -> dict[str, dict[str, Any]]:
        """The processes by name."""
        return {node["node"]: node for node in json.loads(self.run("status", STAGE, "--json").stdout)}

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    found = Script(tmp_path)
    yield found
    found.run("stop")


def engines() -> dict[str, EngineState | None]:
    """What runs of this checkout's engines."""
    return {name: Instance(server, ENGINES_ROOT).state() for name, server in SERVERS.items()}


async def test_a_stage_is_brought_up_watched_and_taken_down(script: Script) -> None:
    before = engines()
    with script.watch() as watcher:
        await eventually(lambda: "watching stage 1" in script.said or watcher.poll() is not None, START_SECONDS)
        assert watcher.poll() is None, script.said

        status = script.status()
        assert {name: node["roles"] for name, node in status.items()} == NODES
        assert all(node["ready"] and node["rpc"] for node in status.values())
        assert status["gateway_ws_1"]["ws"] != status["gateway_ws_2"]["ws"] and status["gateway_http_1"]["http"]
        assert_the_advice_works(script)

        old = status["services"]["pid"]
        os.kill(old, signal.SIGKILL)
        await eventually(lambda: f"services (pid {old}) died and is started again" in script.said, 5)
        await eventually(lambda: "is ready again" in script.said, START_SECONDS)
        again = script.status()
        assert all(node["ready"] for node in again.values()) and again["services"]["pid"] != old

        pids = [node["pid"] for node in again.values()]
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(START_SECONDS) == 0, script.said
    assert not any(identity(pid) for pid in pids)
    assert script.run("status", STAGE, "--json").stdout == "[]\n"
    assert "killed" not in script.said and "Traceback" not in script.said
    assert engines() == before


def assert_the_advice_works(script: Script) -> None:
    """What is printed to try next: here, users and messages."""
    config = re.search(r"export XINYU_CONFIG=(\S+)", script.said)
    assert config and "xinyu demo --node gateway_http_1" in script.said
    done = subprocess.run(
        [sys.executable, "-m", "xinyu", "demo", "--node", "gateway_http_1"],
        cwd=ROOT,
        env={**environment(), "XINYU_CONFIG": config[1]},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert "They are contacts" in done.stdout
