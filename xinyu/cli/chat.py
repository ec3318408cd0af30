"""`xinyu chat`: a terminal chat over the SDK, as any client of the server would do it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import typer

from xinyu.app.settings import ConfigError
from xinyu.cli.chat_session import ChatSession
from xinyu.cli.options import ConfigOption, NodeOption, out, settings_of
from xinyu.cli.passwords import ask, ask_password
from xinyu.cli.server import Entrance, entrance_of
from xinyu.cli.terminal import Terminal
from xinyu.kernel.errors import XinyuError
from xinyu.sdk import Client, Dismissed, LoginEnded

FINAL = (LoginEnded, Dismissed)


def chat(
    user: Annotated[str | None, typer.Option(help="Mobile number to log in with; asked for otherwise.")] = None,
    password: Annotated[str | None, typer.Option(help="Better left out: it is asked for, without echo.")] = None,
    server: Annotated[
        str | None, typer.Option(help="REST address of any server; default: the one running on this configuration.")
    ] = None,
    ws: Annotated[str | None, typer.Option(help="WebSocket address; default: that of the server, on one port.")] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="RSA public key of a server elsewhere that wants passwords encrypted.")
    ] = None,
    config: ConfigOption = None,
    node: NodeOption = None,
) -> None:
    """Chat in the terminal. /help lists the commands."""
    if server is None:
        if ws is not None or public_key is not None:
            raise ConfigError("--ws and --public-key go with --server")
        entrance = entrance_of(settings_of(config, node))
    else:
        entrance = Entrance(server, ws, _read_key(public_key) if public_key is not None else None)
    mobile = user or ask("mobile")
    secret = password or ask_password("password")
    asyncio.run(_chat(_client(entrance), mobile, secret))


def _client(entrance: Entrance) -> Client:
    try:
        return entrance.client()
    except ValueError as error:
        raise ConfigError(f"--server, --ws, --public-key: {error}") from error


def _read_key(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--public-key: cannot read {path}: {getattr(error, 'strerror', 'no PEM')}") from error


async def _chat(client: Client, mobile: str, password: str) -> None:
    async with client:
        await client.login(mobile, password)
        await client.connect()
        terminal = Terminal(out)
        session = ChatSession(client, terminal)
        terminal.show(f"logged in as user {client.uid}; /help lists the commands", "green")
        work = [
            asyncio.create_task(_talk(session, terminal)),
            asyncio.create_task(session.watch_messages()),
        ]
        aside = [asyncio.create_task(session.watch_events()), asyncio.create_task(session.signal_typing())]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*work, *aside):
                task.cancel()
            await asyncio.gather(*work, *aside, return_exceptions=True)
            terminal.restore()


async def _talk(session: ChatSession, terminal: Terminal) -> None:
    with contextlib.suppress(XinyuError):
        await session.list_conversations()
    while (line := await terminal.line(session.prompt)) is not None and line.strip() != "/quit":
        try:
            await session.obey(line)
        except XinyuError as error:
            if isinstance(error, FINAL):
                raise
            terminal.show(f"! {error}", "red")
