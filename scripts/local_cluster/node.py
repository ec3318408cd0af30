"""One process of a stage: started, asked, ended."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from local_engines.process import identity, is_ours

from .state import NodeState
from .workplace import CHECKOUT, Workplace

ANSWER_SECONDS = 2.0
Command = Callable[[Workplace, str], Sequence[str]]
"""The command line of a node; the workplace's folder is part of it, by which we know the process again."""


class Addresses(NamedTuple):
    """Where a process answers, as it wrote it down; "" where it does not."""

    admin: str = ""
    http: str = ""
    ws: str = ""
    rpc: str = ""


def run_command(workplace: Workplace, node: str) -> list[str]:
    """The server."""
    command = [sys.executable, "-m", "xinyu", "run"]
    for config in workplace.configs:
        command += ["--config", str(config)]
    return [*command, "--node", node]


class Nodes:
    """The processes of one stage. It keeps hold of those it started, so that their ends are collected."""

    def __init__(self, workplace: Workplace, command: Command = run_command) -> None:
        self._workplace = workplace
        self._command = command
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def launch(self, node: NodeState) -> NodeState:
        """Start it, without waiting."""
        log = self._workplace.opened_log(node.node)
        try:
            child = subprocess.Popen(
                list(self._command(self._workplace, node.node)),
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: we end them in their order
            )
        finally:
            os.close(log)
        self._children[child.pid] = child
        found = identity(child.pid)
        return NodeState(node.node, node.roles, child.pid, found.started if found else "", time.time())

    def alive(self, node: NodeState) -> bool:
        """Whether this very process still runs."""
        child = self._children.get(node.pid)
        if child is not None and child.poll() is not None:
            del self._children[node.pid]
        found = identity(node.pid) if node.pid else None
        # An ending process loses its command line before its ports: only its start time tells.
        return found is not None and found.started == node.started

    def addresses(self, node: NodeState) -> Addresses | None:
        """Where it answers, None before it has said so."""
        try:
            told = json.loads((self._workplace.node_folder(node.node) / f"{node.node}.json").read_text())
            if told.pop("pid") != node.pid:
                return None  # of the life before
            return Addresses(**{name: str(told.get(name) or "") for name in Addresses._fields})
        except (OSError, ValueError, AttributeError, KeyError):
            return None

    def ready(self, node: NodeState) -> bool:
        """Whether it takes work."""
        addresses = self.addresses(node) if self.alive(node) else None
        if addresses is None:
            return False
        admin = urlsplit(addresses.admin)
        connection = http.client.HTTPConnection(admin.hostname or "127.0.0.1", admin.port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def signal(self, node: NodeState, number: signal.Signals) -> None:
        """Send a signal to this very process and to no other."""
        if self.alive(node) and is_ours(node.pid, node.started, self._workplace.folder):
            os.kill(node.pid, number)
