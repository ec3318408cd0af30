"""The files of one stage on this machine, and the lock of whoever changes what runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from local_engines.process import write_private

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = CHECKOUT / ".run" / "cluster"
SECRETS = ("jwt_secret", "admin_secret", "rpc_secret")
"""What every stage needs; passwords of accounts are beside them."""
LARGEST_LOG = 16 * 1024 * 1024
"""A log that is longer when its node starts is put aside as log.1."""


class ClusterError(Exception):
    """A stage cannot be had; the text is what the user is told."""


class Workplace:
    """What lies below `root` for one stage. Its owner's alone: tables' passwords and secrets are in it."""

    def __init__(self, stage: str, root: Path = ROOT) -> None:
        self.stage = stage
        self.root = root.absolute()
        self.folder = self.root / stage
        self.shared = self.folder / "shared.yaml"
        """Below the stage's own file: engines, secrets, and what else the stage leaves open."""
        self.above = self.folder / "nodes.yaml"
        """Above it: each node's folder and ports, and what --set changed."""
        self.state = self.folder / "state.json"
        self.keys = self.folder / "keys"
        self.media = self.folder / "media"

    @property
    def configs(self) -> list[Path]:
        """The files that make up a node's configuration, the later ones on top."""
        return [self.shared, CHECKOUT / "config" / "stages" / f"{self.stage}.yaml", self.above]

    @property
    def label(self) -> str:
        """What tells this stage from others on shared engines: schema, registry root and key prefix have it."""
        name = self.stage.replace("-", "_")
        return name if self.root == ROOT else f"{name}_{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}"

    def make(self) -> None:
        """Have the folder."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def node_folder(self, node: str) -> Path:
        """Where one process works."""
        return self.folder / "nodes" / node

    def log(self, node: str) -> Path:
        """What one process writes."""
        return self.node_folder(node) / "log"

    def opened_log(self, node: str) -> int:
        """A descriptor to append to the log. A long one is put aside first."""
        path = self.log(node)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_name("log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def secrets(self, names: Sequence[str] = SECRETS) -> dict[str, str]:
        """This stage's secrets of these names; each is made once. Raises ClusterError."""
        path = self.folder / "secrets.json"
        try:
            kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
            missing = {name: secrets.token_urlsafe(36) for name in names if name not in kept}
            if missing:
                write_private(path, json.dumps({**kept, **missing}, indent=2) + "\n")
            return {name: str({**kept, **missing}[name]) for name in names}
        except (ValueError, TypeError):
            raise ClusterError(f"{path} is damaged; delete it to have new secrets made") from None

    @contextlib.contextmanager
    def locked(self, name: str = "lock", wait: bool = True) -> Iterator[bool]:
        """Hold a lock of the stage; without `wait`, give False where somebody else holds it."""
        self.make()
        with (self.folder / name).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True


def write_yaml(path: Path, text: str, values: Mapping[str, Any]) -> None:
    """A configuration file for its owner alone, under a comment."""
    write_private(path, f"# {text}\n{yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)}")


def stages_in(root: Path) -> list[str]:
    """The stages that were started below `root` and not stopped since."""
    return sorted(path.parent.name for path in root.glob("*/state.json"))
