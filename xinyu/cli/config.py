"""`xinyu config …`, `xinyu keys …`, `xinyu migrate`: the configuration, its keys, its schemas."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from xinyu.app.accounts.grants import for_migration
from xinyu.app.secrets import make_password_key, private_key_path, public_key_pem
from xinyu.app.settings import ConfigError, as_yaml, defaults_yaml, shown
from xinyu.app.supervisor import Process
from xinyu.cli.config_check import checked
from xinyu.cli.options import ConfigOption, NodeOption, config_files, out, settings_of
from xinyu.storage.migrations import SchemaState
from xinyu.telemetry.logs import configure_logs

commands = typer.Typer(help="Check and show the configuration.")
key_commands = typer.Typer(help="Keys of the server.")


@commands.command()
def check(config: ConfigOption = None, node: NodeOption = None) -> None:
    """Find mistakes without starting: values, roles, secrets, keys, ports, engines and schemas. Of a configuration that
    names the processes of a cluster, all of them unless --node names one."""
    settings = settings_of(config, node)
    configure_logs("error", "console", "xinyu", settings.node)
    names = [settings.node] if settings.node in settings.processes else list(settings.processes) or [settings.node]
    errors = 0
    for name in names:
        if len(names) > 1:
            out.print(f"{name}:", markup=False)
        for finding in asyncio.run(checked(settings_of(config, name), registry=name == names[0])):
            colour = {"ok": "green", "warning": "yellow", "error": "red"}[finding.level]
            out.print(f"[{colour}]{finding.level:8}[/]", end="")
            out.print(" ".join(finding.text.split()), markup=False)
            errors += finding.level == "error"
    files = ", ".join(map(str, config_files(config))) or "the environment alone"
    if errors:
        raise ConfigError(f"{files}: this configuration cannot work, see the {errors} error(s) above")
    out.print(f"{files}: this configuration works", markup=False)


@commands.command()
def show(config: ConfigOption = None, node: NodeOption = None) -> None:
    """Print the settings in force, from files, environment and defaults; secrets are masked."""
    out.print(as_yaml(shown(settings_of(config, node))), end="", markup=False)


@commands.command()
def defaults() -> None:
    """Print a configuration file with every setting, its default and what it is."""
    out.print(defaults_yaml(), end="", markup=False)


@key_commands.command()
def public(config: ConfigOption = None, node: NodeOption = None) -> None:
    """Print the RSA public key in PEM: VITE_RSA_PUBLIC_KEY of the web clients' build."""
    out.print(public_key_pem(settings_of(config, node)), end="", markup=False)


@key_commands.command()
def make(
    config: ConfigOption = None,
    node: NodeOption = None,
    to: Annotated[
        Path | None, typer.Option(help="The file; default: user.rsa_private_key_path of the configuration.")
    ] = None,
) -> None:
    """Make the RSA key pair that clients encrypt passwords for, in a file for its owner alone. Every process that hosts
    `user` needs the same. Never overwrites one."""
    path = to or private_key_path(settings_of(config, node))
    make_password_key(path)
    out.print(
        f"{path}: a new RSA key pair; `xinyu keys public` prints the public half of the configured one", markup=False
    )


def migrate(config: ConfigOption = None, node: NodeOption = None) -> None:
    """Bring the schemas of all hosted roles up to date, as storage.migration_user where one is set. Stop the server
    first."""
    settings = for_migration(settings_of(config, node))
    configure_logs("warning", "console", "xinyu", settings.node)

    async def upgraded() -> list[SchemaState]:
        process = Process(settings)
        try:
            return await process.open_storage(migrate=True)
        finally:
            await process.close_storage()

    for state in asyncio.run(upgraded()):
        out.print(f"{state.domain}: at {state.current}", markup=False)
