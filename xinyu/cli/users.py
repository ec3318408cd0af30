"""`xinyu user …`: accounts, without verification codes."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from xinyu.app.secrets import sealed
from xinyu.cli.options import ConfigOption, NodeOption, out, settings_of
from xinyu.cli.passwords import ask_password
from xinyu.cli.server import act

PAGE = 500
commands = typer.Typer(help="Make, disable, enable and list accounts, on the running server or on its store.")
MobileArgument = Annotated[str, typer.Argument(help="Mobile number of the account.")]


@commands.command()
def create(
    mobile: MobileArgument,
    nickname: Annotated[str, typer.Option(help="Name that others see; default: the mobile number.")] = "",
    password: Annotated[
        str | None, typer.Option(help="Better left out: it is asked for, or read as a line from stdin.")
    ] = None,
    config: ConfigOption = None,
    node: NodeOption = None,
) -> None:
    """Make an account."""
    settings = settings_of(config, node)
    secret = sealed(settings, ask_password("password", repeat=True) if password is None else password)
    made = act(settings, "user-create", nickname=nickname or mobile, mobile=mobile, password=secret)
    out.print(f"user {made['user_id']} made; log in with {mobile}", markup=False)


@commands.command()
def disable(mobile: MobileArgument, config: ConfigOption = None, node: NodeOption = None) -> None:
    """Shut an account: its log-ins and connections end."""
    changed = act(settings_of(config, node), "user-disable", mobile=mobile, disabled=True)
    out.print(f"user {changed['user_id']} is disabled", markup=False)


@commands.command()
def enable(mobile: MobileArgument, config: ConfigOption = None, node: NodeOption = None) -> None:
    """Open an account again."""
    changed = act(settings_of(config, node), "user-disable", mobile=mobile, disabled=False)
    out.print(f"user {changed['user_id']} is enabled", markup=False)


@commands.command("list")
def list_(config: ConfigOption = None, node: NodeOption = None) -> None:
    """List all accounts."""
    settings = settings_of(config, node)
    table = Table("id", "mobile", "nickname", "state", box=None, header_style="bold", pad_edge=False)
    after = 0
    while True:
        page = act(settings, "user-list", after=after, limit=PAGE)["items"]
        for user in page:
            state = "disabled" if user["disabled"] else "ok"
            table.add_row(str(user["user_id"]), user["mobile"], user["nickname"], state)
        if len(page) < PAGE:
            break
        after = page[-1]["user_id"]
    out.print(table)
