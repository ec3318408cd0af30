"""`xinyu grants`: the SQL that makes an account for each role, with rights on its own tables alone."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

import typer

from xinyu.app.accounts.grants import RoleAccount, role_accounts
from xinyu.cli.options import ConfigOption, NodeOption, out, settings_of

HEAD = """\
-- One account per role, with rights on its own tables alone. Run this as an account that may CREATE USER and GRANT,
-- after `xinyu migrate` and again whenever a new version has migrated. An account that exists keeps its password.
"""


def grants(
    config: ConfigOption = None,
    node: NodeOption = None,
    roles: Annotated[
        str | None, typer.Option(help="Roles to make accounts for, with commas between; default: all that are hosted.")
    ] = None,
    host: Annotated[
        str, typer.Option("--from", help="Where the accounts connect from: a host or a pattern of MySQL.")
    ] = "%",
    passwords: Annotated[
        bool, typer.Option("--passwords", help="Print the passwords of the configuration too; else they are gaps.")
    ] = False,
) -> None:
    """Print the SQL that makes one least-privilege MySQL account per role."""
    accounts = role_accounts(settings_of(config, node, roles))
    _say(HEAD)
    for server, group in groupby(sorted(accounts, key=lambda each: each.address.server), _server_of):
        _say(f"\n-- on {server}\n")
        for account in group:
            _say(_section(account, host, passwords))
    made = [account for account in accounts if not account.configured]
    if made:
        lines = [f"--     {account.role}: {account.dsn}" for account in made]
        _say("\n".join(["", "-- Made here and kept nowhere else; put it into the configuration:", *_YAML, *lines, ""]))


_YAML = ("-- storage:", "--   dsn_by_role:")


def _server_of(account: RoleAccount) -> str:
    return account.address.server


def _section(account: RoleAccount, host: str, passwords: bool) -> str:
    statements = [f"{statement};" for statement in account.statements(host, passwords)]
    kept = account.configured and not passwords
    gap = f"; fill in the password of storage.dsn_by_role.{account.role}" if kept else ""
    return "\n".join([f"-- {account.role}, in schema {account.address.schema}{gap}", *statements, ""])


def _say(text: str) -> None:
    out.print(text, end="", markup=False)
