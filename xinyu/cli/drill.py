"""`xinyu drill`: break a stage on purpose and check the promises. What it starts are scripts of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import typer

import xinyu
from xinyu.app.settings import ConfigError

SCRIPTS = Path(xinyu.__file__).resolve().parents[1] / "scripts"
ANY_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def drill(context: typer.Context) -> None:
    """Start a stage, let people chat, break something, check the history: `xinyu drill all --stage 4`; see --help."""
    if not (SCRIPTS / "drills").is_dir():
        raise ConfigError("drills start stages by the scripts of the repository; install xinyu from a clone (pip -e)")
    path = os.pathsep.join(filter(None, [str(SCRIPTS), str(SCRIPTS.parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "drills", *context.args]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    while True:
        try:
            raise typer.Exit(process.wait())
        except KeyboardInterrupt:
            continue  # the terminal sent it to the drill too, which cleans up
