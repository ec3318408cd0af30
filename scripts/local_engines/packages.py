"""Installing the engines' programs from the system's packages, where we may."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from .process import EngineError, last_lines


def install(packages: Sequence[str], why: str, log: Path) -> None:
    """Install Debian or Ubuntu packages, or say which ones to install. The ones we name bring no service that starts.

    Never removes or replaces what is installed: a system's own MySQL is not to be pushed out by ours.
    """
    by_hand = f"install them and run this again, on Debian and Ubuntu: apt-get install {' '.join(packages)}"
    apt = shutil.which("apt-get")
    if apt is None:
        raise EngineError(f"{why}; {by_hand}")
    prefix = _as_root()
    if prefix is None:
        raise EngineError(f"{why}, and this user may not install packages (no root, no passwordless sudo); {by_hand}")
    print(f"xinyu: installing {' '.join(packages)} (only the first time)", file=sys.stderr, flush=True)
    options = ["--yes", "--quiet", "--no-install-recommends", "--no-remove", "-o", "DPkg::Lock::Timeout=300"]
    command = [*prefix, apt, "install", *options, *packages]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # The package lists may be missing or old: only then is the second try, after an update, worth its time.
        if _run(command, output) and (_run([*prefix, apt, "update", "--quiet"], output) or _run(command, output)):
            raise EngineError(f"{why}, and installing failed:\n{last_lines(log)}\n  log: {log}\n{by_hand}")


def _as_root() -> list[str] | None:
    """What to put before a command that needs root, None where we cannot have it without asking."""
    if os.geteuid() == 0:
        return ["env", "DEBIAN_FRONTEND=noninteractive"]
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0:
        return [sudo, "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
    return None


def _run(command: Sequence[str], output: IO[bytes]) -> int:
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT).returncode
