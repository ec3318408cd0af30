"""The process that fuzzers throw everything at, as a placement of one node."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from testkit.placement import QUICK, ROOT, Node, Placement, environment, merged

HOST = ROOT / "tests" / "fuzz" / "rock_host.py"
SETTINGS: dict[str, Any] = {"predecessor": {"enabled": True, "port": 0}, "media": {"max_open_uploads": 1000}}


class FuzzTarget(Node):
    """A monolith whose ports are served to other nodes too."""

    def __init__(self, folder: Path) -> None:
        self.rpc_secret = secrets.token_hex(20)
        settings = merged(merged(QUICK, SETTINGS), {"rpc": {"secret": self.rpc_secret}})
        super().__init__("fuzzed", (), folder, ROOT / "config" / "monolith.yaml", settings)

    def launch(self) -> None:
        """A process of its own program, which is not the nursery's."""
        command = [sys.executable, str(HOST), *(part for part in self.config_arguments if part != "--config")]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def rock(self) -> str:
        """Where it serves other nodes."""
        return f"127.0.0.1:{self.rpc_port}"

    @property
    def secrets(self) -> dict[str, str]:
        """What must never be read in an answer or in the log."""
        folder = self.data_dir / "secrets"
        kept = {name: (folder / name).read_text().strip() for name in ("jwt_secret", "admin_secret")}
        return {"rpc_secret": self.rpc_secret, **kept}


def target(folder: Path) -> Placement:
    """The deployment of that one process."""
    return Placement([FuzzTarget(folder)], folder)
