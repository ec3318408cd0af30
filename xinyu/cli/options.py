"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from xinyu.app.settings import ConfigError, Settings, load_settings

DEFAULT_CONFIG = Path("config/monolith.yaml")
OWN_VARIABLES = frozenset({"XINYU_CONFIG", "XINYU_DEBUG"})
"""Environment variables of the command that are no settings."""

ConfigOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        "-c",
        help="Configuration file; may be repeated, later ones on top. "
        f"Default: $XINYU_CONFIG (several with {os.pathsep!r} between), else {DEFAULT_CONFIG} where it exists.",
        show_default=False,
    ),
]
NodeOption = Annotated[str | None, typer.Option("--node", help="Name of the process; replaces `node`.")]

WIDE = 1000
out = Console(highlight=False, soft_wrap=True)
"""Results go to stdout; logs and trouble to stderr."""


def config_files(given: list[Path] | None) -> list[Path]:
    """The files that are read."""
    if given:
        return given
    named = os.environ.get("XINYU_CONFIG", "")
    if named:
        return [Path(name) for name in named.split(os.pathsep) if name]
    return [DEFAULT_CONFIG] if DEFAULT_CONFIG.exists() else []


def settings_of(given: list[Path] | None, node: str | None = None, roles: str | None = None) -> Settings:
    """Settings of files, environment and flags. Raises ConfigError."""
    flags: dict[str, Any] = {}
    if node is not None:
        flags["node"] = node
    if roles is not None:
        flags["roles"] = tuple(filter(None, map(str.strip, roles.split(","))))
        if not flags["roles"]:
            raise ConfigError("--roles names no role; see `xinyu roles`")
    files = config_files(given)
    settings = load_settings(files, flags)
    if not files and not settings.embedded and not settings.auth.jwt_secret:
        raise ConfigError(
            f"no configuration: name one with --config ({DEFAULT_CONFIG} of the repository runs everything)"
        )
    return settings


def command_line(subcommand: str, given: list[Path] | None, node: str | None = None) -> str:
    """What to type for another command on the same configuration, and on the same node of it where one was named."""
    program = os.path.relpath(sys.argv[0]) if "/" in sys.argv[0] else sys.argv[0]
    if program.startswith("..") or program.endswith(("__main__.py", ".pyc")):
        program = "xinyu"
    files = [file for file in given or () if file != DEFAULT_CONFIG]
    named = [f"--node {node}"] if node is not None else []
    return " ".join([program, subcommand, *(f"--config {file}" for file in files), *named])


def print_table(table: Table, least: int = 0) -> None:
    """Tables are folded to a terminal's width, but not below `least` columns, nor when they go into a file or pipe."""
    width = max(out.width, least) if out.is_terminal else WIDE
    Console(width=width, highlight=False).print(table, soft_wrap=False, crop=False)
