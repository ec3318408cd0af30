"""`xinyu data copy`: the data of one deployment into another, empty one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from xinyu.app.moving.checks import Plan
from xinyu.app.moving.errors import MoveError
from xinyu.app.moving.move import Move
from xinyu.app.moving.sides import Side, side_of_dsns, side_of_settings
from xinyu.app.moving.watcher import Watcher
from xinyu.cli.moving.progress import watcher
from xinyu.cli.options import out, settings_of
from xinyu.telemetry.logs import configure_logs

commands = typer.Typer(help="Move data between deployments.")
DSN = "sqlite:///file or mysql://user:password@host/schema for all roles, role=DSN for single ones; may be repeated."
LAYERS = "configuration file (repeated: later ones on top) whose storage and media.blob_dir are taken."
FromOption = Annotated[list[str] | None, typer.Option("--from", metavar="DSN", help=f"Where data is: {DSN}")]
ToOption = Annotated[list[str] | None, typer.Option("--to", metavar="DSN", help=f"Where it goes: {DSN}")]
FromConfigOption = Annotated[list[Path] | None, typer.Option("--from-config", help=f"Instead of --from: {LAYERS}")]
ToConfigOption = Annotated[list[Path] | None, typer.Option("--to-config", help=f"Instead of --to: {LAYERS}")]
MediaFromOption = Annotated[Path | None, typer.Option("--media-from", metavar="DIR", help="Folder of uploaded files.")]
MediaToOption = Annotated[Path | None, typer.Option("--media-to", metavar="DIR", help="Folder that they go to.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check and count; make and change nothing.")]


@commands.command()
def copy(
    from_: FromOption = None,
    to: ToOption = None,
    from_config: FromConfigOption = None,
    to_config: ToConfigOption = None,
    media_from: MediaFromOption = None,
    media_to: MediaToOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Copy all tables and uploaded files into an empty target and compare them. Stop the servers of both first; the
    source is only read. A DSN with a password is better given in a file: the command line can be seen by others."""
    configure_logs("warning", "console", "xinyu", "data-copy")
    source = _side("--from", from_, from_config, media_from)
    target = _side("--to", to, to_config, media_to)
    if media_from is not None and not media_from.is_dir():
        raise MoveError(f"--media-from: {media_from} is no folder")
    plan = asyncio.run(_moved(source, target, dry_run, watcher(out)))
    if dry_run:
        _tell(plan)
    files = f" and {len(plan.files)} files ({plan.bytes} bytes)" if plan.files is not None else ""
    done = "would be copied; nothing was changed" if dry_run else "copied and compared: the same on both sides"
    out.print(f"{plan.rows} rows of {len(plan.tables)} tables{files} {done}", markup=False)
    if plan.files is None:
        shared = source.media is not None
        reason = "both sides use the same folder" if shared else "name --media-from and --media-to to take them along"
        out.print(f"uploaded files are left where they are: {reason}", markup=False)


async def _moved(source: Side, target: Side, dry_run: bool, watch: Watcher) -> Plan:
    async with Move(source, target, watch) as move:
        plan = await move.check()
        if not dry_run:
            await move.carry_out(plan)
        return plan


def _side(option: str, dsns: list[str] | None, config: list[Path] | None, media: Path | None) -> Side:
    if bool(dsns) == bool(config):
        raise MoveError(f"name either {option} or {option}-config")
    if config:
        return side_of_settings(f"{option}-config", settings_of(config), media)
    return side_of_dsns(option, dsns or [], media)


def _tell(plan: Plan) -> None:
    table = Table("role", "table", "rows", box=None, header_style="bold", pad_edge=False)
    table.columns[2].justify = "right"
    for role, name, rows in plan.tables:
        table.add_row(role, name, str(rows))
    if plan.files is not None:
        table.add_row("media", "files", str(len(plan.files)))
    out.print(table)
